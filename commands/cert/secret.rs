//! A certificate as a Kubernetes Secret.
//!
//! Source: Kubernetes documentation, "Secrets", section "TLS Secrets"; `ca.crt` beside the two is
//! what cert-manager and its readers expect.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dbgate::cert::IssuedPair;

use super::common::{Failure, UNREADABLE};

/// The manifest, YAML. The name and the namespace need no quotes.
pub(super) fn manifest(
    name: &str,
    namespace: Option<&str>,
    made: &IssuedPair,
) -> Result<String, Failure> {
    let namespace = namespace.map_or_else(String::new, |ns| format!("  namespace: \"{ns}\"\n"));
    Ok(format!(
        "\
apiVersion: v1
kind: Secret
metadata:
  name: \"{name}\"
{namespace}type: kubernetes.io/tls
data:
  tls.crt: {}
  tls.key: {}
  ca.crt: {}
",
        data(&made.cert)?,
        data(&made.key)?,
        data(&made.trust)?,
    ))
}

fn data(path: &Path) -> Result<String, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(STANDARD.encode(bytes)),
        Err(error) => Err(Failure::new(
            UNREADABLE,
            format!("cannot read {}: {error}", path.display()),
        )),
    }
}
