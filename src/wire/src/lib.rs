//! Messages and framing between the components, and peer credentials.
