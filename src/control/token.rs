//! What somebody shows to be let in.

use ring::digest::{Digest, SHA256, digest};
use subtle::ConstantTimeEq;

use super::{Role, queue::Queue};

/// What somebody shows to be let in: only its hash, and who that is.
#[derive(Clone, Debug)]
pub(super) struct Token {
    name: String,
    role: Role,
    hash: Digest,
    queue: Queue,
}

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    /// As whom the audit log names them.
    pub(super) name: String,
    pub(super) role: Role,
    /// The requests that show the same token.
    pub(super) queue: Queue,
}

impl Token {
    pub(super) fn new(name: String, role: Role, token: &str) -> Self {
        Self { name, role, hash: hash(token), queue: Queue::default() }
    }

    /// Who shows `shown`, if it is one of `tokens`. It takes the same time whichever it is.
    pub(super) fn find(tokens: &[Self], shown: &str) -> Option<Operator> {
        let shown = hash(shown);
        let is_it = |token: &&Self| bool::from(token.hash.as_ref().ct_eq(shown.as_ref()));
        let found = tokens.iter().filter(is_it).max_by_key(|token| token.role)?;
        let Self { name, role, queue, .. } = found.clone();
        Some(Operator { name, role, queue })
    }
}

fn hash(token: &str) -> Digest {
    digest(&SHA256, token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shows_a_token_is_who_it_was_given_to() {
        let tokens = [
            Token::new("eye".to_owned(), Role::Read, "one"),
            Token::new("hand".to_owned(), Role::Operate, "two"),
        ];
        assert_eq!(Token::find(&tokens, "one").unwrap().role, Role::Read);
        assert_eq!(Token::find(&tokens, "two").unwrap().name, "hand");
        for wrong in ["", "on", "one ", "One", "three"] {
            assert!(Token::find(&tokens, wrong).is_none(), "{wrong:?}");
        }
    }
}
