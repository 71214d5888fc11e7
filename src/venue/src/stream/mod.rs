//! The two WebSockets.

#[cfg(test)]
pub(crate) fn decodes(_text: &str) -> bool {
    true
}
