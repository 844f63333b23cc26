//! The configured users, with what has been verified against them.
//!
//! One table is one configuration: new users mean a new table with an empty memory, so nothing
//! verified against old users can be remembered for new ones, not even by a check under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use moka::sync::Cache;
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;
use tokio::sync::OnceCell;

use super::authenticator::AuthError;
use super::credential::{Credential, Proof};
use crate::user::UserName;

/// How long a verified password is taken without hashing it again.
const VERIFIED_FOR: Duration = Duration::from_secs(5 * 60);

/// How many verified passwords are remembered; the least used make room.
const VERIFIED_MAX: u64 = 10_000;

/// A name and password under a key of this table alone, so that a copy of the memory or a guess
/// made elsewhere tells nothing.
pub(super) type Fingerprint = [u8; 32];

pub(super) struct UserTable {
    key: [u8; 32],
    users: HashMap<UserName, StoredProof>,
    names: HashMap<Box<[u8]>, UserName>,
    /// Every configured hash, for names that have none: see [`UserTable::decoy`].
    hashes: Vec<Arc<PasswordHash>>,
    verified: Cache<Fingerprint, UserName>,
    in_flight: Mutex<HashMap<Fingerprint, Arc<OnceCell<bool>>>>,
}

enum StoredProof {
    /// The fingerprint of name and password: the password itself is not kept.
    Plaintext(Fingerprint),
    Hash(Arc<PasswordHash>),
}

/// What is left to do for a name and a password.
pub(super) enum Lookup {
    /// Right: a plaintext password, or one verified recently.
    Known(UserName),
    /// Run this hash. `user` is who they are if it fits; without one the check is refused
    /// whatever comes out, but has cost the same.
    Verify { hash: Arc<PasswordHash>, user: Option<UserName> },
    /// Wrong, and there is no hash in the table whose cost would have to be matched.
    Wrong,
}

impl UserTable {
    pub(super) fn new(credentials: Vec<Credential>) -> Result<Self, AuthError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let mut table = Self {
            key,
            users: HashMap::new(),
            names: HashMap::new(),
            hashes: Vec::new(),
            verified: Cache::builder()
                .max_capacity(VERIFIED_MAX)
                .time_to_live(VERIFIED_FOR)
                .build(),
            in_flight: Mutex::default(),
        };
        for credential in credentials {
            table.add(credential)?;
        }
        Ok(table)
    }

    fn add(&mut self, credential: Credential) -> Result<(), AuthError> {
        let Credential { user, proof } = credential;
        let name = user.as_str().as_bytes();
        let proof = match proof {
            Proof::Plaintext(password) => {
                let password = password.expose_secret().as_bytes();
                StoredProof::Plaintext(self.fingerprint(name, password))
            }
            Proof::Hash(hash) => {
                let hash = Arc::new(hash);
                self.hashes.push(Arc::clone(&hash));
                StoredProof::Hash(hash)
            }
        };
        if self.names.insert(name.into(), user.clone()).is_some() {
            return Err(AuthError::Duplicate(user));
        }
        self.users.insert(user, proof);
        Ok(())
    }

    pub(super) fn has_plaintext(&self) -> bool {
        self.users.values().any(|proof| matches!(proof, StoredProof::Plaintext(_)))
    }

    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// The lengths go in front, so that ("ab", "c") and ("a", "bc") differ.
    pub(super) fn fingerprint(&self, name: &[u8], password: &[u8]) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in [name, password] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// Decides what can be decided without hashing. Always does the same steps, whoever is named.
    pub(super) fn look_up(&self, name: &[u8], fingerprint: &Fingerprint) -> Lookup {
        if let Some(user) = self.verified.get(fingerprint) {
            return Lookup::Known(user);
        }
        let user = self.names.get(name);
        let proof = user.and_then(|user| self.users.get(user));
        // An unknown name is compared as well, with something that no fingerprint equals.
        let expected = match proof {
            Some(StoredProof::Plaintext(expected)) => expected,
            Some(StoredProof::Hash(_)) | None => &self.key,
        };
        let equal: bool = expected.ct_eq(fingerprint).into();
        match (user, proof) {
            (Some(user), Some(StoredProof::Plaintext(_))) if equal => Lookup::Known(user.clone()),
            (Some(user), Some(StoredProof::Hash(hash))) => {
                Lookup::Verify { hash: Arc::clone(hash), user: Some(user.clone()) }
            }
            _ => match self.decoy(name) {
                Some(hash) => Lookup::Verify { hash, user: None },
                None => Lookup::Wrong,
            },
        }
    }

    /// The hash to run for a name that has none, so that a refusal takes as long as for a name
    /// that has one. Chosen by the name: where hashes differ in cost, each unknown name costs
    /// what some known one does, and always the same.
    fn decoy(&self, name: &[u8]) -> Option<Arc<PasswordHash>> {
        let pick = self.fingerprint(name, b"");
        let pick = u64::from_le_bytes([
            pick[0], pick[1], pick[2], pick[3], pick[4], pick[5], pick[6], pick[7],
        ]);
        let index = pick.checked_rem(self.hashes.len() as u64)?;
        self.hashes.get(usize::try_from(index).ok()?).cloned()
    }

    pub(super) fn remember(&self, fingerprint: Fingerprint, user: UserName) {
        self.verified.insert(fingerprint, user);
    }

    /// Joins the check of this fingerprint that is under way, or begins one.
    pub(super) fn join(&self, fingerprint: Fingerprint) -> SharedCheck<'_> {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = Arc::clone(in_flight.entry(fingerprint).or_default());
        SharedCheck { table: self, fingerprint, cell }
    }
}

/// One caller's part in a check that equal callers share. The last one to drop it clears it away,
/// so the map of checks under way is as large as the number of callers at most.
pub(super) struct SharedCheck<'a> {
    table: &'a UserTable,
    fingerprint: Fingerprint,
    pub(super) cell: Arc<OnceCell<bool>>,
}

impl Drop for SharedCheck<'_> {
    fn drop(&mut self) {
        let mut in_flight = self.table.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        // Clones are made under this lock alone: two means the map's and ours. A finished check
        // goes at once, so that a later equal one is a check of its own.
        let ours =
            in_flight.get(&self.fingerprint).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        if ours && (self.cell.initialized() || Arc::strong_count(&self.cell) == 2) {
            in_flight.remove(&self.fingerprint);
        }
    }
}
