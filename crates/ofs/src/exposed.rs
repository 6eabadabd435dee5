//! Whether a process would let in more than it was meant to: beyond this machine, everybody may do
//! everything only if somebody has said so.

use crate::config::{AuthMode, Config, TlsMode};
use crate::failure::{Exit, Failure};

/// Refuses to listen beyond this machine without a word about keys and encryption, and to run a `demo` that
/// would be refused itself.
///
/// # Errors
/// What to set.
pub fn check(config: &Config, demo: bool) -> Result<(), Failure> {
    if demo && config.auth_mode == Some(AuthMode::Required) && config.api_key.is_none() {
        let text = "requests need a key, and so does --demo: give it one with the scope orders:write \
                    in OFS_API_KEY or --api-key-file";
        return Err(Failure::new(Exit::Usage, text));
    }
    let address = config.listen;
    let encrypted = config.tls.is_some() || config.tls_mode == Some(TlsMode::None);
    let fixed = match config.auth_mode {
        _ if address.ip().is_loopback() => return Ok(()),
        Some(AuthMode::None) => return Ok(()),
        Some(AuthMode::Required) if encrypted => return Ok(()),
        Some(AuthMode::Required) => "and keys would be sent unencrypted",
        None => "and everybody who reaches it could do everything",
    };
    let text = format!(
        "listening on {address} is beyond this machine, {fixed}; set\n  \
         OFS_AUTH_MODE=required              requests need a key (ofs keys create, --print-first-key)\n  \
         OFS_TLS_CERTIFICATE=/path/cert.pem  what is sent cannot be read on its way\n  \
         OFS_TLS_KEY=/path/key.pem           or OFS_TLS_MODE=none, behind a proxy that encrypts\n\
         or, where everybody may do everything, OFS_AUTH_MODE=none"
    );
    Err(Failure::new(Exit::Usage, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    fn start(address: &str, variables: &[(&str, &str)]) -> Result<(), String> {
        let all = [variables, &[("OFS_LISTEN", address)]].concat();
        let variables = all.iter().map(|(name, value)| (name.into(), value.into()));
        let inputs = Inputs { variables: variables.collect(), ..Inputs::default() };
        let config = Config::load(&inputs).map_err(|error| error.to_string())?;
        check(&config, false).map_err(|failure| failure.to_string())
    }

    #[test]
    fn beyond_this_machine_keys_and_encryption_are_decided_on() {
        let tls = [("OFS_TLS_CERTIFICATE", "c"), ("OFS_TLS_KEY", "k")];
        let required = ("OFS_AUTH_MODE", "required");
        let with_tls = [required, tls[0], tls[1]];
        assert_eq!(start("127.0.0.1:80", &[]), Ok(()));
        assert_eq!(start("[::1]:80", &[required]), Ok(()));
        assert_eq!(start("0.0.0.0:80", &[("OFS_AUTH_MODE", "none")]), Ok(()));
        assert_eq!(start("0.0.0.0:80", &with_tls), Ok(()));
        assert_eq!(start("0.0.0.0:80", &[required, ("OFS_TLS_MODE", "none")]), Ok(()));
        for variables in [&[][..], &tls, &[required], &[("OFS_TLS_MODE", "none")]] {
            let said = start("10.0.0.1:80", variables).expect_err("refused");
            for line in ["OFS_AUTH_MODE=required", "OFS_TLS_CERTIFICATE=", "OFS_TLS_KEY="] {
                assert!(said.contains(line), "{said}");
            }
        }
    }
}
