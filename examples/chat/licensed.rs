//! The options that say how many nodes may run, as a vendor has licensed it.

use std::{error::Error, fs, path::Path, path::PathBuf};

use clap::Args;
use exosphere::{Builder, License, PublicKey, ServeError, StartError};

/// The status that a node exits with that is one too many.
pub(crate) const ONE_TOO_MANY: u8 = 3;

#[derive(Args)]
pub(crate) struct Licensed {
    /// The file with the vendor's public key: without a licence of this vendor, one node runs.
    #[arg(long, value_name = "FILE")]
    license_key: Option<PathBuf>,
    /// The file with the licence.
    #[arg(long, value_name = "FILE", requires = "license_key")]
    license: Option<PathBuf>,
    /// Waits for a place if as many nodes run as may.
    #[arg(long, requires = "license_key")]
    standby: bool,
}

impl Licensed {
    /// A node that is under the limit which these options say. A product would have the vendor's key in
    /// it.
    pub(crate) fn apply(&self, builder: Builder) -> Result<Builder, Box<dyn Error>> {
        let Some(path) = &self.license_key else { return Ok(builder) };
        let named = |path: &Path, error: &dyn Error| format!("{}: {error}", path.display());
        let key = fs::read_to_string(path).map_err(|error| named(path, &error))?;
        let vendor: PublicKey = key.parse().map_err(|error| named(path, &error))?;
        let builder = builder.max_unlicensed_nodes(1, [vendor]).standby(self.standby);
        let Some(path) = &self.license else { return Ok(builder) };
        let token = fs::read(path).map_err(|error| named(path, &error))?;
        let license = License::verify(token, &[vendor]).map_err(|error| named(path, &error))?;
        Ok(builder.license(license))
    }
}

/// Whether an error says that this node may not run beside those that do.
pub(crate) fn is_one_too_many(error: &(dyn Error + 'static)) -> bool {
    let start = error.downcast_ref::<StartError>();
    let serve = error.downcast_ref::<ServeError>();
    matches!(start, Some(StartError::MaxLicenses { .. } | StartError::LicenseNotInForce { .. }))
        || matches!(serve, Some(ServeError::MaxLicenses { .. }))
}
