//! Who may do what: roles with privileges, tokens with roles.

use crate::decode::Located;
use crate::secret::Secret;
use crate::{record, words};

/// What a role may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// Look.
    Read,
    /// Send heartbeats, restart, pause, acknowledge.
    Write,
    /// Delete.
    Delete,
}

words!(Privilege { Read = "read", Write = "write", Delete = "delete" });

record! {
    /// A set of privileges with a name.
    pub struct Role {
        /// Its name.
        name: Located<String> [1..=64],
        /// What it may do.
        privileges: Vec<Privilege> [0..=3],
    }
}

record! {
    /// A token for programs and people.
    pub struct Token {
        /// Its name, shown in the audit log.
        name: Located<String> [1..=64],
        /// Its role.
        role: Located<String>,
        /// The token itself.
        token: Secret [1..=4096],
    }
}

record! {
    /// Who may do what. The roles `admin` (read, write, delete) and `guest` (read) exist without being listed.
    pub struct Access {
        /// Further roles, or other privileges for `admin` and `guest`.
        roles: Vec<Role> [0..=100] = [],
        /// Tokens beside the one lifesign makes for itself.
        tokens: Vec<Token> [0..=10_000] = [],
    }
}

impl Access {
    /// The privileges of a role, listed or built in; `None`: no such role.
    pub fn privileges(&self, role: &str) -> Option<&[Privilege]> {
        const ALL: &[Privilege] = &[Privilege::Read, Privilege::Write, Privilege::Delete];
        match self.roles.iter().find(|listed| *listed.name == role) {
            Some(listed) => Some(&listed.privileges),
            None if role == "admin" => Some(ALL),
            None if role == "guest" => Some(&ALL[..1]),
            None => None,
        }
    }

    /// All names of roles.
    pub fn role_names(&self) -> impl Iterator<Item = &str> {
        ["admin", "guest"].into_iter().chain(self.roles.iter().map(|role| role.name.as_str()))
    }
}
