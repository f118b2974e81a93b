//! The connection string of an Azure storage account, as its portal shows it: account, key and server in one value.

use url::Url;

use super::StoreOptions;

/// Where accounts are, if the string does not say.
const SUFFIX: &str = "core.windows.net";

impl StoreOptions {
    /// Puts what `connection_string` says in the place of the keys that say it one by one. If it can't be one, why; nothing of it
    /// is told.
    pub fn take_connection_string(&mut self) -> Result<(), &'static str> {
        let Some(text) = self.connection_string.take() else { return Ok(()) };
        let mut protocol = "https";
        let mut suffix = SUFFIX;
        let mut endpoint = None;
        for pair in text.trim().split(';').filter(|pair| !pair.trim().is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("is made of pairs such as AccountName=acme;AccountKey=…")?;
            match name.trim() {
                "AccountName" => self.account = Some(value.to_owned()),
                "AccountKey" => self.account_key = Some(value.to_owned()),
                "SharedAccessSignature" => self.sas_token = Some(value.to_owned()),
                "BlobEndpoint" => endpoint = Some(value.trim_end_matches('/').to_owned()),
                "DefaultEndpointsProtocol" => protocol = value,
                "EndpointSuffix" => suffix = value,
                "UseDevelopmentStorage" => {
                    return Err("names no account: write that of the emulator out, with BlobEndpoint");
                }
                // Of other services of the account.
                _ => {}
            }
        }
        // With a signature, only the server tells the account.
        let host = endpoint.as_deref().and_then(|endpoint| Url::parse(endpoint).ok()?.host_str().map(str::to_owned));
        let of_host = host.as_deref().and_then(|host| host.split_once(".blob.")).map(|(account, _)| account.to_owned());
        let account = self.account.clone().or(of_host).ok_or("has no AccountName")?;
        if self.account_key.is_none() && self.sas_token.is_none() {
            return Err("has neither AccountKey nor SharedAccessSignature");
        }
        // Said here even where it is what it would be: what the environment says is not asked for then.
        self.endpoint = Some(endpoint.unwrap_or_else(|| format!("{protocol}://{account}.blob.{suffix}")));
        self.account = Some(account);
        Ok(())
    }
}
