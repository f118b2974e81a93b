//! Tokens that are signed with the key of a policy, or that a connection string holds already.
//!
//! `SharedAccessSignature sr=<resource>&sig=<HMAC-SHA256 of "<resource>\n<expiry>">&se=<expiry>&skn=<policy>`, as Microsoft's
//! page "Authenticate access to Event Hubs with shared access signatures" has it.

use azure_core::credentials::Secret as AzureSecret;
use azure_core::error::ErrorKind;
use azure_core::time::{Duration, OffsetDateTime};
use azure_messaging_eventhubs::ConnectionString;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::form_urlencoded::byte_serialize;

use crate::secret::Secret;

/// How long a token is good: as long as those of Microsoft's own clients.
const VALID: Duration = Duration::hours(1);

/// A token of the connection string `text` for the hub at `audience`, and until when it is good.
pub(super) fn signed(
    text: &Secret,
    audience: &str,
    now: OffsetDateTime,
) -> azure_core::Result<(AzureSecret, OffsetDateTime)> {
    // The parser's own words could hold a piece of the key.
    let parsed: ConnectionString = text.expose().parse().map_err(|_| refused("the connection string is none"))?;
    if let Some(signature) = parsed.shared_access_signature {
        let expires = expiry(signature.secret()).ok_or_else(|| refused("SharedAccessSignature has no expiry `se`"))?;
        if expires <= now {
            return Err(refused("the connection string's SharedAccessSignature has expired: take a new one"));
        }
        return Ok((signature, expires));
    }
    let (Some(policy), Some(key)) = (parsed.shared_access_key_name, parsed.shared_access_key) else {
        return Err(refused("the connection string has neither a key nor a signature"));
    };
    let expires = now + VALID;
    let token = sign(audience, &policy, key.secret(), expires.unix_timestamp())?;
    Ok((AzureSecret::new(token), expires))
}

fn sign(audience: &str, policy: &str, key: &str, expiry: i64) -> azure_core::Result<String> {
    let resource = escaped(audience.as_bytes()).to_lowercase();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| refused("the key signs nothing"))?;
    mac.update(format!("{resource}\n{expiry}").as_bytes());
    let signature = escaped(STANDARD.encode(mac.finalize().into_bytes()).as_bytes());
    Ok(format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={policy}"))
}

fn escaped(bytes: &[u8]) -> String {
    byte_serialize(bytes).collect()
}

/// Until when a token says that it is good.
fn expiry(token: &str) -> Option<OffsetDateTime> {
    let fields = token.strip_prefix("SharedAccessSignature ")?;
    let seconds = fields.split('&').find_map(|field| field.strip_prefix("se="))?;
    OffsetDateTime::from_unix_timestamp(seconds.parse().ok()?).ok()
}

fn refused(why: &'static str) -> azure_core::Error {
    azure_core::Error::with_message(ErrorKind::Credential, why)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The vector of Microsoft's own clients.
    #[test]
    fn a_token_is_signed_as_the_service_checks_it() {
        let token =
            sign("amqps://example.servicebus.windows.net/myhub", "RootManageSharedAccessKey", "mykey", 1_700_000_000);
        assert_eq!(
            token.unwrap(),
            "SharedAccessSignature sr=amqps%3a%2f%2fexample.servicebus.windows.net%2fmyhub\
             &sig=SgJoMn7K6nWDCF6e1%2BfsxrmJLsorqPeZ3B8N1uQ31dc%3D&se=1700000000&skn=RootManageSharedAccessKey"
        );
    }

    #[test]
    fn a_signature_that_is_given_is_shown_until_it_expires() {
        let given = "SharedAccessSignature sr=amqps%3a%2f%2fns%2fhub&sig=abc%3d&se=1700000000&skn=policy";
        let text = Secret::new(format!("Endpoint=sb://ns.servicebus.windows.net/;SharedAccessSignature={given}"));
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let (token, expires) = signed(&text, "amqps://ns/hub", at(1_699_999_999)).unwrap();
        assert_eq!((token.secret(), expires), (given, at(1_700_000_000)));
        assert!(signed(&text, "amqps://ns/hub", at(1_700_000_000)).unwrap_err().to_string().contains("expired"));
    }
}
