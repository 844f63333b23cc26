//! Logins: what a browser holds after its user has shown a password once.
//!
//! Kept in memory under marks of their ids, so that a copy of the memory opens nothing. Bounded
//! by the number of users times [`LOGINS_PER_USER`]. They end with the process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::{Mark, hex, random};
use crate::user::UserName;

/// Logins that one user may have at once. One more ends the oldest.
pub const LOGINS_PER_USER: usize = 32;

/// A login, as its operator knows it.
#[derive(Clone)]
pub struct Login {
    mark: Mark,
    /// Known to pages of our origin alone.
    csrf: SecretString,
    expires: Instant,
}

impl Login {
    /// What a page shows, beside the cookie, to prove that it is ours (64 hexadecimal digits).
    pub fn csrf_token(&self) -> &SecretString {
        &self.csrf
    }

    /// Whether a page has shown it. In constant time.
    pub fn is_csrf_token(&self, shown: &str) -> bool {
        let expected = secrecy::ExposeSecret::expose_secret(&self.csrf);
        expected.as_bytes().ct_eq(shown.as_bytes()).into()
    }

    /// When it is over by itself.
    pub fn expires(&self) -> Instant {
        self.expires
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Whose a login is, and with which password it was begun.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) user: UserName,
    pub(super) mark: Mark,
}

struct Open {
    standing: Standing,
    expires: Instant,
    /// Counts up: the smaller, the older.
    number: u64,
}

/// The logins of all users.
pub(super) struct Logins {
    key: [u8; 32],
    lasts: Duration,
    open: Mutex<Opens>,
}

#[derive(Default)]
struct Opens {
    by_mark: HashMap<Mark, Open>,
    begun: u64,
}

impl Logins {
    pub(super) fn new(key: [u8; 32], lasts: Duration) -> Self {
        Self { key, lasts, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Opens> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a login; gives its id and what is known of it.
    pub(super) fn open(
        &self,
        standing: Standing,
    ) -> Result<(SecretString, Login), getrandom::Error> {
        let id = hex(random()?);
        let now = Instant::now();
        let expires = now + self.lasts;
        let mut opens = self.lock();
        opens.by_mark.retain(|_, open| open.expires > now);
        opens.make_room(&standing.user);
        opens.begun += 1;
        let number = opens.begun;
        opens.by_mark.insert(self.mark(&id), Open { standing, expires, number });
        drop(opens);
        let login = self.login(&id, expires);
        Ok((id.into(), login))
    }

    /// The login with this id, unless it is over.
    pub(super) fn find(&self, id: &str) -> Option<(Standing, Login)> {
        let opens = self.lock();
        let open = opens.by_mark.get(&self.mark(id)).filter(|open| open.is_on())?;
        let (standing, expires) = (open.standing.clone(), open.expires);
        drop(opens);
        Some((standing, self.login(id, expires)))
    }

    /// Whose a login is, unless it is over.
    pub(super) fn standing(&self, login: &Login) -> Option<Standing> {
        let opens = self.lock();
        let open = opens.by_mark.get(&login.mark).filter(|open| open.is_on())?;
        Some(open.standing.clone())
    }

    /// Ends the login with this id.
    pub(super) fn end(&self, id: &str) {
        self.lock().by_mark.remove(&self.mark(id));
    }

    fn login(&self, id: &str, expires: Instant) -> Login {
        let csrf = hex(self.keyed("csrf", id));
        Login { mark: self.mark(id), csrf: csrf.into(), expires }
    }

    fn mark(&self, id: &str) -> Mark {
        Mark(self.keyed("login", id))
    }

    fn keyed(&self, purpose: &str, id: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(purpose.as_bytes()).update(b":").update(id.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

impl Open {
    fn is_on(&self) -> bool {
        self.expires > Instant::now()
    }
}

impl Opens {
    /// Ends the oldest login of a user who has as many as may be.
    fn make_room(&mut self, user: &UserName) {
        let own = || self.by_mark.iter().filter(|(_, open)| open.standing.user == *user);
        if own().count() < LOGINS_PER_USER {
            return;
        }
        let oldest = own().min_by_key(|(_, open)| open.number).map(|(mark, _)| *mark);
        if let Some(oldest) = oldest {
            self.by_mark.remove(&oldest);
        }
    }
}
