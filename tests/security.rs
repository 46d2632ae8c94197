//! Nodes that prove by secrets and certificates that they belong together, and find each other in all
//! ways that there are, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use exosphere::{Builder, Discover, Discovery, Node, Security, StartError};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use support::{PATIENCE, Place, sees, until, within};

/// Who issues certificates, with a folder for them.
struct Authority<'a> {
    place: &'a Place,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// The files of a node.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl<'a> Authority<'a> {
    fn new(place: &'a Place) -> Self {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::default());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { place, issuer: Issuer::new(params, key), pem }
    }

    /// Writes a certificate for this role, which is valid until the end of this year.
    fn issue(&self, name: &str, role: &str, until: i32) -> Files {
        let mut params = CertificateParams::new(vec!["exosphere".to_owned()]).unwrap();
        let uri = format!("exo://{role}");
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = write(self.place.dir(), &format!("{name}.key"), &key.serialize_pem());
        Files { certificate: write(self.place.dir(), &format!("{name}.pem"), &certificate), key }
    }

    fn node(&self, name: &str) -> Files {
        self.issue(name, &format!("{}/node", self.place.cluster()), 4000)
    }
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    // At once, as who renews certificates should.
    let new = dir.join(format!("{name}.new"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, &path).unwrap();
    path
}

fn with(place: &Place, security: Security) -> Builder {
    Node::builder(place.cluster()).security(security)
}

fn pki(authorities: &Path, files: &Files) -> Security {
    Security::pki(authorities, &files.certificate, &files.key)
}

fn sentence(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", sentence(source)),
        None => error.to_string(),
    }
}

#[tokio::test]
async fn nodes_with_certificates_of_one_authority_are_one_cluster() {
    let place = Place::new("pki");
    let (ours, theirs) = (Authority::new(&place), Authority::new(&place));
    let ca = write(place.dir(), "ca.pem", &ours.pem);
    let other_ca = write(place.dir(), "other.pem", &theirs.pem);
    let first = with(&place, pki(&ca, &ours.node("1"))).start().await.unwrap();
    let seed = first.addr().to_string();
    let stranger = with(&place, pki(&other_ca, &theirs.node("2"))).seed(&seed);
    let stranger = stranger.start().await.unwrap();
    let second = with(&place, pki(&ca, &ours.node("3"))).seed(&seed).start().await.unwrap();
    // Several nodes may have the same certificate, and are several nodes all the same.
    let third = with(&place, pki(&ca, &ours.node("3"))).seed(&seed).start().await.unwrap();
    for node in [&first, &second, &third] {
        sees(node, 3).await;
    }
    assert_eq!(stranger.members().current().members().len(), 1);
}

#[tokio::test]
async fn a_certificate_that_no_peer_would_accept_is_refused_with_its_file_and_the_reason() {
    let place = Place::new("unfit");
    let (ours, theirs) = (Authority::new(&place), Authority::new(&place));
    let ca = write(place.dir(), "ca.pem", &ours.pem);
    let empty = write(place.dir(), "empty.pem", "");
    let node = format!("{}/node", place.cluster());
    let mut mixed = ours.node("mixed");
    mixed.key = ours.node("another").key;
    for (ca, files, reason) in [
        (&ca, ours.issue("old", &node, 2020), "xpired"),
        (&ca, ours.issue("role", &format!("{}/admin", place.cluster()), 4000), "another role"),
        (&ca, ours.issue("cluster", "other/node", 4000), "another cluster"),
        (&ca, ours.issue("nobody", "", 4000), "another cluster"),
        (&ca, theirs.node("theirs"), "BadSignature"),
        (&ca, mixed, "keys"),
        (&empty, ours.node("good"), "empty.pem"),
        (&place.dir().join("none.pem"), ours.node("fine"), "none.pem"),
    ] {
        let error = with(&place, pki(ca, &files)).start().await.unwrap_err();
        let said = sentence(&error);
        assert!(matches!(error, StartError::Security { .. }), "{said}");
        assert!(said.contains("node's certificate") && said.contains(reason), "{reason}: {said}");
    }
}

/// Goal: certificates, and who issues them, can be changed while nodes run.
///
/// Method: replace all files of one node by others; then let a node join that accepts nothing else.
#[tokio::test]
async fn certificates_are_renewed_while_nodes_run() {
    let place = Place::new("renewed");
    let (old, new) = (Authority::new(&place), Authority::new(&place));
    let ca = write(place.dir(), "ca.pem", &old.pem);
    let first = with(&place, pki(&ca, &old.node("first"))).start().await.unwrap();
    let second = with(&place, pki(&ca, &old.node("second"))).seed(first.addr().to_string());
    let second = second.start().await.unwrap();
    sees(&first, 2).await;

    write(place.dir(), "ca.pem", "this is no certificate");
    new.node("first");
    write(place.dir(), "ca.pem", &new.pem);
    let new_ca = write(place.dir(), "new.pem", &new.pem);
    let third = with(&place, pki(&new_ca, &new.node("third"))).seed(first.addr().to_string());
    let third = third.start().await.unwrap();
    sees(&third, 2).await;
    let knows = |node: &Node| node.members().current().members().len();
    assert!(knows(&first) >= 2 && knows(&second) >= 2, "who was linked before is not cut off");
}

#[tokio::test]
async fn a_passphrase_is_a_secret_and_secrets_are_changed_while_nodes_run() {
    let place = Place::new("rotation");
    let (old, new) = (Security::passphrase("correct horse battery"), Security::secret([7; 32]));
    let start = async |security: &Security, seeds: &[&Node]| {
        let builder = with(&place, security.clone());
        let builder = seeds.iter().fold(builder, |it, seed| it.seed(seed.addr().to_string()));
        builder.start().await.unwrap()
    };
    let both = old.clone().accepting(new.clone());
    let (first, second) = (start(&both, &[]).await, start(&both, &[]).await);
    sees(&first, 2).await;
    first.shutdown().await;
    let third = start(&new.clone().accepting(old), &[&second]).await;
    sees(&second, 2).await;
    sees(&third, 2).await;
    second.shutdown().await;
    let fourth = start(&new, &[&third]).await;
    sees(&third, 2).await;
    sees(&fourth, 2).await;
}

#[tokio::test]
async fn what_everybody_can_see_is_sealed_or_not_said() {
    let place = Place::new("seal");
    let ours = Authority::new(&place);
    let ca = write(place.dir(), "ca.pem", &ours.pem);
    let certified = || pki(&ca, &ours.node("node"));
    let error = with(&place, certified()).browser_cookies(true).start().await.unwrap_err();
    assert!(matches!(error, StartError::NothingToSeal { .. }), "{error}");
    let multicast = || Discovery::multicast_on(["127.0.0.1"]);
    for security in [certified(), Security::auto()] {
        let error = with(&place, security).discover(multicast()).start().await.unwrap_err();
        assert!(matches!(error, StartError::NoSeal), "{error}");
    }
    let local = with(&place, Security::secret([7; 32])).discover(Discovery::multicast());
    let error = local.start().await.unwrap_err();
    assert!(matches!(error, StartError::Unreachable { .. }), "{error}");

    let sealed = || with(&place, certified().sealing(Security::secret([7; 32])));
    let start = || sealed().browser_cookies(true).discover(multicast()).start();
    let (first, second) = (start().await.unwrap(), start().await.unwrap());
    sees(&first, 2).await;
    sees(&second, 2).await;
}

/// An application's own register of nodes.
#[derive(Clone, Default)]
struct Register(Arc<Mutex<Vec<SocketAddr>>>);

impl Discover for Register {
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let known = self.0.lock().unwrap().clone();
        if known.is_empty() { Err("nobody is registered yet".into()) } else { Ok(known) }
    }
}

#[tokio::test]
async fn nodes_are_found_by_names_by_seeds_and_as_the_application_says() {
    let place = Place::new("ways");
    let register = Register::default();
    let start = |discovery| place.node().discover(discovery).start();
    let first = start(Discovery::own(register.clone())).await.unwrap();
    let addr = first.addr();
    let second = start(Discovery::seeds([addr.to_string()])).await.unwrap();
    let third = start(Discovery::dns(format!("localhost:{}", addr.port()))).await.unwrap();
    // Told of nobody, it is found by who is told of it.
    let lonely = start(Discovery::dns("no-such-host.invalid")).await.unwrap();
    for node in [&first, &second, &third] {
        sees(node, 3).await;
    }
    assert_eq!(lonely.members().current().members().len(), 1);
    register.0.lock().unwrap().push(lonely.addr());
    sees(&lonely, 4).await;
}

/// Goal: two sides that have forgotten each other become one cluster again, by whatever is looked up.
///
/// Method: let a node be known to a register only after both have long given up their eager start.
#[tokio::test]
async fn what_was_not_there_when_a_node_started_is_found_later() {
    let place = Place::new("later");
    let register = Register::default();
    let first = place.node().discover(Discovery::own(register.clone())).start().await.unwrap();
    let away = || place.node().discover(Discovery::own(Register::default())).start();
    let second = away().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    register.0.lock().unwrap().push(second.addr());
    within(PATIENCE, "they meet", sees(&first, 2)).await;
}

#[tokio::test]
async fn a_node_on_all_addresses_tells_its_peers_one_that_they_can_dial() {
    let place = Place::new("advertise");
    let start = |builder: Builder| builder.start();
    let told = place.node().bind(([0, 0, 0, 0], 0)).advertise(([127, 0, 0, 1], 0));
    let first = start(told).await.unwrap();
    assert!(first.addr().ip().is_loopback() && first.addr().port() != 0, "{}", first.addr());
    let second = start(place.node().seed(first.addr().to_string())).await.unwrap();
    sees(&second, 2).await;
    assert!(second.members().current().members().iter().any(|it| it.addr == first.addr()));

    match start(place.node().bind(([0, 0, 0, 0], 0))).await {
        Ok(found) => {
            let ip = found.addr().ip();
            assert!(!ip.is_unspecified() && !ip.is_loopback(), "{ip}");
        }
        // On a machine that has no network.
        Err(error) => assert!(matches!(error, StartError::Unspecified { .. }), "{error}"),
    }
    let nowhere = place.node().advertise(([0, 0, 0, 0], 5701));
    let error = start(nowhere).await.unwrap_err();
    assert!(matches!(error, StartError::Unspecified { .. }), "{error}");
    let exposed = with(&place, Security::auto()).advertise(([192, 0, 2, 1], 5701));
    let error = start(exposed).await.unwrap_err();
    assert!(matches!(error, StartError::NoSecret { .. }), "{error}");
    until("the cluster is still one", || second.members().current().members().len() == 2).await;
}
