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
    /// By the name's bytes: what comes over the wire need not be UTF-8.
    users: HashMap<Box<[u8]>, StoredUser>,
    /// Every configured hash, for names that have none: see [`UserTable::decoy`].
    hashes: Vec<Arc<PasswordHash>>,
    verified: Cache<Fingerprint, UserName>,
    in_flight: Mutex<HashMap<Fingerprint, InFlight>>,
}

struct StoredUser {
    name: UserName,
    proof: StoredProof,
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
                self.hashes.push(Arc::clone(&hash));
                StoredProof::Hash(hash)
            }
        };
        let stored = StoredUser { name: user.clone(), proof };
        match self.users.insert(name.into(), stored) {
            None => Ok(()),
            Some(_) => Err(AuthError::Duplicate(user)),
        }
    }

    pub(super) fn has_plaintext(&self) -> bool {
        self.users.values().any(|user| matches!(user.proof, StoredProof::Plaintext(_)))
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
        let user = self.users.get(name);
        // An unknown name is compared as well, with something that no fingerprint equals.
        let expected = match user.map(|user| &user.proof) {
            Some(StoredProof::Plaintext(expected)) => expected,
            Some(StoredProof::Hash(_)) | None => &self.key,
        };
        let equal: bool = expected.ct_eq(fingerprint).into();
        match user {
            Some(StoredUser { name, proof: StoredProof::Plaintext(_) }) if equal => {
                Lookup::Known(name.clone())
            }
            Some(StoredUser { name, proof: StoredProof::Hash(hash) }) => {
                Lookup::Verify { hash: Arc::clone(hash), user: Some(name.clone()) }
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

    pub(super) fn is_verified(&self, fingerprint: &Fingerprint) -> bool {
        self.verified.contains_key(fingerprint)
    }

    pub(super) fn remember(&self, fingerprint: Fingerprint, user: UserName) {
        self.verified.insert(fingerprint, user);
    }

    /// Joins the check of this fingerprint that is under way, or begins one.
    pub(super) fn join(&self, fingerprint: Fingerprint) -> SharedCheck<'_> {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let check = in_flight.entry(fingerprint).or_default();
        check.callers += 1;
        SharedCheck { table: self, fingerprint, cell: Arc::clone(&check.cell) }
    }

    #[cfg(test)]
    pub(super) fn checks_in_flight(&self) -> usize {
        self.in_flight.lock().unwrap().len()
    }
}

/// A check under way, and how many callers wait for it.
#[derive(Default)]
struct InFlight {
    cell: Arc<OnceCell<bool>>,
    callers: usize,
}

/// One caller's part in a check that equal callers share.
///
/// Whoever leaves first after it is done clears it away, so that a later equal check is a check
/// of its own; if it never gets done, the last one to leave does. The map of checks under way is
/// thus never larger than the number of callers.
pub(super) struct SharedCheck<'a> {
    table: &'a UserTable,
    fingerprint: Fingerprint,
    pub(super) cell: Arc<OnceCell<bool>>,
}

impl Drop for SharedCheck<'_> {
    fn drop(&mut self) {
        let mut in_flight = self.table.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(check) = in_flight.get_mut(&self.fingerprint) else { return };
        // Ours may have been cleared away already, and another begun in its place.
        if !Arc::ptr_eq(&check.cell, &self.cell) {
            return;
        }
        check.callers -= 1;
        if check.callers == 0 || check.cell.initialized() {
            in_flight.remove(&self.fingerprint);
        }
    }
}
