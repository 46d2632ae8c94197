//! The vendor's tool: makes the keys, issues licences, and says what is in them.
//!
//! ```text
//! cargo run --release --example license -- keygen --out DIR
//! cargo run --release --example license -- issue --key FILE --customer NAME --nodes N [--days D]
//!                                                [--cluster NAME] [--feature NAME]... --out FILE
//! cargo run --release --example license -- inspect FILE
//! cargo run --release --example license -- verify --public FILE FILE
//! ```
//!
//! `keygen` writes `vendor.key`, which signs licences and which nobody but the vendor may have, and
//! `vendor.pub`, which goes into the application. Nothing is ever overwritten.

use std::{
    error::Error,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use clap::{Parser, Subcommand};
use exosphere::{Grant, License, PublicKey, SigningKey, Validity};

/// Makes, issues and reads licences.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a pair of keys, in files of a directory, which is made if it is missing.
    Keygen {
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Signs a licence.
    Issue(Issue),
    /// Says what is in a licence, whoever has signed it.
    Inspect { file: PathBuf },
    /// Says whether a licence is signed by a vendor and holds now.
    Verify {
        /// The vendor's public key.
        #[arg(long, value_name = "FILE")]
        public: PathBuf,
        file: PathBuf,
    },
}

#[derive(clap::Args)]
struct Issue {
    /// The vendor's secret key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Whom it is for.
    #[arg(long, value_name = "NAME")]
    customer: String,
    /// How many nodes of a cluster may be active at the same time.
    #[arg(long, value_name = "N")]
    nodes: u32,
    /// For how many days it holds, from now on. For ever, unless this is given.
    #[arg(long, value_name = "D")]
    days: Option<u32>,
    /// The one cluster it is for. Any, unless this is given.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// What else it allows. May be given many times.
    #[arg(long, value_name = "NAME")]
    feature: Vec<String>,
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("license: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Keygen { out } => generate(&out),
        Command::Issue(arguments) => issue(arguments),
        Command::Inspect { file } => {
            let grant = License::inspect(read(&file)?).map_err(|error| named(&file, error))?;
            print!("{}", describe(&grant));
            Ok(())
        }
        Command::Verify { public, file } => verify(&public, &file),
    }
}

fn generate(out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    let key = SigningKey::generate();
    let (secret, public) = (out.join("vendor.key"), out.join("vendor.pub"));
    write_new(&secret, &key.to_text(), true)?;
    write_new(&public, &key.public_key().to_string(), false)?;
    println!("{}: keep it secret, it signs licences", secret.display());
    println!("{}: {}", public.display(), key.public_key());
    Ok(())
}

fn issue(arguments: Issue) -> Result<(), Box<dyn Error>> {
    let key = text(&arguments.key)?.parse::<SigningKey>();
    let key = key.map_err(|error| named(&arguments.key, error))?;
    let mut grant = Grant::new(arguments.customer, arguments.nodes)?;
    if let Some(days) = arguments.days {
        grant = grant.for_days(now(), days);
    }
    grant.cluster = arguments.cluster;
    grant.features = arguments.feature;
    let license = key.issue(&grant)?;
    write_new(&arguments.out, &license.to_string(), false)?;
    print!("{}", describe(license.grant()));
    Ok(())
}

fn verify(public: &Path, file: &Path) -> Result<(), Box<dyn Error>> {
    let vendor = text(public)?.parse::<PublicKey>().map_err(|error| named(public, error))?;
    let license = License::verify(read(file)?, &[vendor]).map_err(|error| named(file, error))?;
    // For its own cluster, if it is for one.
    let cluster = license.grant().cluster.as_deref().unwrap_or_default();
    license.check(cluster, now()).map_err(|error| named(file, error))?;
    print!("{}", describe(license.grant()));
    match (license.validity(now()), license.grant().end()) {
        (Validity::Grace, Some(end)) => {
            let days = license.grant().grace_days;
            println!("signed; it ended on {end}, and nodes start for {days} days after that");
        }
        _ => println!("signed, and it holds"),
    }
    Ok(())
}

/// What is in a licence, one thing a line.
fn describe(grant: &Grant) -> String {
    let end = grant.end().map_or_else(|| "never".to_owned(), |end| end.to_string());
    let cluster = grant.cluster.as_deref().unwrap_or("any");
    let features = match grant.features.is_empty() {
        true => "none".to_owned(),
        false => grant.features.join(", "),
    };
    format!(
        "licence   {}\ncustomer  {}\nnodes     {}\nends      {end}\ngrace     {} days\n\
         cluster   {cluster}\nfeatures  {features}\n",
        grant.id, grant.customer, grant.max_nodes, grant.grace_days
    )
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| named(path, error))
}

fn text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| named(path, error))
}

/// Writes a line to a file that is not there yet, which only its owner may read if it is secret.
fn write_new(path: &Path, line: &str, is_secret: bool) -> Result<(), String> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = is_secret;
    let written = options.open(path).and_then(|mut file| writeln!(file, "{line}"));
    written.map_err(|error| named(path, error))
}

/// What is wrong with a file.
fn named(path: &Path, error: impl Error) -> String {
    format!("{}: {error}", path.display())
}

#[expect(clippy::disallowed_methods, reason = "the tool is no node")]
fn now() -> SystemTime {
    SystemTime::now()
}
