//! Files and hooks that follow a token.
