//! Alerts: Telegram and in-app, with deduplication, acknowledgement and escalation.
