//! A manifest as a file: pretty JSON with a checksum over what it says.

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::manifest::{MANIFEST_VERSION, Manifest};

/// Name of the field that holds the checksum. Manifests of every version have it.
const CHECKSUM: &str = "checksum";

/// Why a file is no manifest to go by.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is not what was written.
    Damaged(String),
    /// It is, by another version.
    Version(u64),
}

/// The file of a manifest.
pub(super) fn encode(manifest: &Manifest) -> serde_json::Result<Bytes> {
    let mut fields: Map<String, Value> = serde_json::from_slice(&serde_json::to_vec(manifest)?)?;
    // Over what a reader will get, which may be another number in the last digit of a float.
    let checksum = checksum(&serde_json::from_slice(&serde_json::to_vec(&fields)?)?)?;
    fields.insert(CHECKSUM.to_string(), checksum.into());
    let mut file = serde_json::to_vec_pretty(&fields)?;
    file.push(b'\n');
    Ok(file.into())
}

/// The manifest in a file.
pub(super) fn decode(file: &[u8]) -> Result<Manifest, Unreadable> {
    let fields = fields(file).map_err(Unreadable::Damaged)?;
    match fields.get("version").and_then(Value::as_u64) {
        Some(version) if (1..=u64::from(MANIFEST_VERSION)).contains(&version) => {
            serde_json::from_value(Value::Object(fields)).map_err(|error| Unreadable::Damaged(no_manifest(&error)))
        }
        Some(version) => Err(Unreadable::Version(version)),
        None => Err(Unreadable::Damaged("it has no version".to_string())),
    }
}

/// Who wrote the manifest in a file, whatever its version; or why it is damaged.
pub(super) fn owner(file: &[u8]) -> Result<String, String> {
    match fields(file)?.shift_remove("owner") {
        Some(Value::String(owner)) => Ok(owner),
        _ => Err("it has no owner".to_string()),
    }
}

/// What a file says, if that is what was written; or why it is damaged.
fn fields(file: &[u8]) -> Result<Map<String, Value>, String> {
    let mut fields: Map<String, Value> = serde_json::from_slice(file).map_err(|error| no_manifest(&error))?;
    let Some(Value::String(said)) = fields.shift_remove(CHECKSUM) else { return Err("it has no checksum".to_string()) };
    match said == checksum(&fields).map_err(|error| no_manifest(&error))? {
        true => Ok(fields),
        false => Err("its checksum does not match".to_string()),
    }
}

fn no_manifest(error: &serde_json::Error) -> String {
    format!("it is no manifest ({error})")
}

/// SHA-256 over the compact form.
fn checksum(fields: &Map<String, Value>) -> serde_json::Result<String> {
    let compact = serde_json::to_vec(fields)?;
    Ok(Sha256::digest(&compact).iter().map(|byte| format!("{byte:02x}")).collect())
}
