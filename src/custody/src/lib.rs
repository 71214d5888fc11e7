//! Secrets in memory and where to get them: files, systemd credentials, Vault.
