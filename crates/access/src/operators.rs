//! Operators: the people and programs that may look at the sessions, or act on them.
//!
//! A person proves a name by a password, once per login or with every request; a program shows a
//! token. What comes over the wire for that (cookies, headers) is another's business: here texts
//! go in and an outcome comes out.

mod login;
mod role;
#[cfg(test)]
mod tests;
mod token;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};

pub use login::{LOGINS_PER_USER, Login};
pub use role::Role;
pub use token::{Token, TokenHash, TokenHashError, new_token};

use crate::auth::{AuthError, AuthOutcome, Authenticator, Credential, ThrottleLimits};
use crate::user::UserName;
use login::{Logins, Standing};

/// Ten failures of one source at once, then one every five seconds. A person who mistypes stays
/// below it.
const FAILURES: ThrottleLimits = ThrottleLimits { burst: 10, refill: Duration::from_secs(5) };

/// How long to wait where it is not failures but the line for a core that is too long.
const BUSY: Duration = Duration::from_secs(1);

/// A person who may log in.
#[derive(Debug)]
pub struct User {
    /// Name and password.
    pub credential: Credential,
    /// What the person may do.
    pub role: Role,
}

/// Who the operators are, and how long a login lasts.
#[derive(Debug)]
pub struct Settings {
    /// People.
    pub users: Vec<User>,
    /// Programs.
    pub tokens: Vec<Token>,
    /// What keys the marks of logins; random where none is given, which is as good.
    pub secret: Option<SecretString>,
    /// How long a login lasts, from the moment of the password.
    pub login_lasts: Duration,
}

/// What came of a proof.
#[derive(Debug)]
pub enum Outcome {
    /// It is right.
    Granted(Operator),
    /// It is wrong; what about it is not told.
    Denied,
    /// Not looked at: too many failures from this source.
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// Not looked at: too many others are being looked at.
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
}

/// Somebody who has proved to be an operator.
#[derive(Clone, Debug)]
pub struct Operator {
    name: UserName,
    role: Role,
    proof: Proof,
}

#[derive(Clone, Debug)]
enum Proof {
    Password(Mark),
    Login(Login),
    Token(TokenHash),
}

impl Operator {
    /// The user's or the token's name.
    pub fn name(&self) -> &UserName {
        &self.name
    }

    /// What the operator may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether it is a program, which has shown a token.
    pub fn is_program(&self) -> bool {
        matches!(self.proof, Proof::Token(_))
    }

    /// The login by which the operator is known, if it is by one.
    pub fn login(&self) -> Option<&Login> {
        match &self.proof {
            Proof::Login(login) => Some(login),
            Proof::Password(_) | Proof::Token(_) => None,
        }
    }
}

/// A keyed hash, by which something secret is recognised and not known.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Mark([u8; 32]);

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark")
    }
}

/// The operators and their logins. Cheap to clone; clones share everything.
///
/// - Passwords are checked by an [`Authenticator`]: at most one Argon2id run per core, right ones
///   remembered, equal checks run once.
/// - Failures are counted per source, whatever was tried: password or token. A source with too
///   many is not heard, but for a token or a login that is right, which cannot be guessed.
/// - New users and tokens are in force at once: a login whose user has gone, or has another
///   password, is over; another role is the role of the next request.
#[derive(Clone)]
pub struct Operators {
    shared: Arc<Shared>,
}

struct Shared {
    key: [u8; 32],
    passwords: Authenticator,
    table: ArcSwap<Table>,
    logins: Logins,
}

struct Table {
    users: HashMap<UserName, Known>,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy)]
struct Known {
    role: Role,
    /// Tells one password of the user from another.
    mark: Mark,
}

impl Table {
    fn new(key: &[u8; 32], users: &[User], tokens: Vec<Token>) -> Self {
        let known = |user: &User| Known { role: user.role, mark: Mark(user.credential.stamp(key)) };
        let users = users.iter().map(|user| (user.credential.user().clone(), known(user)));
        Self { users: users.collect(), tokens }
    }

    /// The role of a user whose password is still the one of this mark.
    fn role_of(&self, user: &UserName, mark: Mark) -> Option<Role> {
        self.users.get(user).filter(|known| known.mark == mark).map(|known| known.role)
    }
}

impl Operators {
    /// Takes the operators.
    ///
    /// # Errors
    /// [`AuthError`] for two users of one name, or without randomness.
    pub fn new(settings: Settings) -> Result<Self, AuthError> {
        let Settings { users, tokens, secret, login_lasts } = settings;
        let key = match secret {
            Some(secret) => {
                blake3::derive_key("RustSocks: marks of logins", secret.expose_secret().as_bytes())
            }
            None => random()?,
        };
        let table = ArcSwap::from_pointee(Table::new(&key, &users, tokens));
        let credentials = users.into_iter().map(|user| user.credential).collect();
        let passwords = Authenticator::with_limits(credentials, FAILURES)?;
        let logins = Logins::new(key, login_lasts);
        Ok(Self { shared: Arc::new(Shared { key, passwords, table, logins }) })
    }

    /// Replaces all users and tokens at once.
    ///
    /// # Errors
    /// [`AuthError`] as [`Operators::new`]; the old ones stay.
    pub fn replace(&self, users: Vec<User>, tokens: Vec<Token>) -> Result<(), AuthError> {
        let shared = &self.shared;
        let table = Table::new(&shared.key, &users, tokens);
        let credentials = users.into_iter().map(|user| user.credential).collect();
        // In this order: a check takes the table first, so that what an old password grants is
        // never marked as if it had been the new one.
        shared.passwords.replace(credentials)?;
        shared.table.store(Arc::new(table));
        Ok(())
    }

    /// How many users and tokens there are.
    pub fn count(&self) -> usize {
        let table = self.shared.table.load();
        table.users.len() + table.tokens.len()
    }

    /// Whether a user of this name is configured.
    pub fn knows(&self, name: &str) -> bool {
        let table = self.shared.table.load();
        UserName::new(name).is_ok_and(|name| table.users.contains_key(&name))
    }

    /// Checks a name and a password from a client at `source`. Cancel safe.
    pub async fn check_password(&self, name: &str, password: &str, source: IpAddr) -> Outcome {
        let shared = &self.shared;
        let table = shared.table.load_full();
        match shared.passwords.check(name.as_bytes(), password.as_bytes(), source).await {
            AuthOutcome::Granted(name) => match table.users.get(&name) {
                Some(&Known { role, mark }) => {
                    Outcome::Granted(Operator { name, role, proof: Proof::Password(mark) })
                }
                None => Outcome::Denied,
            },
            AuthOutcome::Denied => Outcome::Denied,
            AuthOutcome::Throttled => match shared.passwords.retry_after(source) {
                Some(retry_after) => Outcome::Throttled { retry_after },
                None => Outcome::Busy { retry_after: BUSY },
            },
        }
    }

    /// Checks a token from a client at `source`. Takes as long for each token that is wrong.
    pub fn check_token(&self, token: &str, source: IpAddr) -> Outcome {
        let shared = &self.shared;
        let shown = TokenHash::of(token);
        let table = shared.table.load();
        // Compared with each, in constant time, also after one has fitted.
        let found = table.tokens.iter().fold(None, |found, token| match token.hash.fits(&shown) {
            true => Some(token),
            false => found,
        });
        if let Some(token) = found {
            let (name, role) = (token.name.clone(), token.role);
            return Outcome::Granted(Operator { name, role, proof: Proof::Token(shown) });
        }
        self.count_failure(source)
    }

    /// Counts something that was meant as a proof and is none, from a client at `source`.
    pub fn count_failure(&self, source: IpAddr) -> Outcome {
        let passwords = &self.shared.passwords;
        match passwords.retry_after(source) {
            Some(retry_after) => Outcome::Throttled { retry_after },
            None => {
                passwords.count_failure(source);
                Outcome::Denied
            }
        }
    }

    /// Begins a login for somebody who has just shown a password; gives its id, which is told to
    /// this operator alone, and the operator as known by it. None for a program.
    ///
    /// # Errors
    /// [`AuthError::Randomness`].
    pub fn log_in(
        &self,
        operator: &Operator,
    ) -> Result<Option<(SecretString, Operator)>, AuthError> {
        let Proof::Password(mark) = operator.proof else { return Ok(None) };
        let standing = Standing { user: operator.name.clone(), mark };
        let (id, login) = self.shared.logins.open(standing)?;
        Ok(Some((id, Operator { proof: Proof::Login(login), ..operator.clone() })))
    }

    /// The operator whose login has this id, if it is not over.
    pub fn by_login(&self, id: &str) -> Option<Operator> {
        let (Standing { user, mark }, login) = self.shared.logins.find(id)?;
        let role = self.shared.table.load().role_of(&user, mark)?;
        Some(Operator { name: user, role, proof: Proof::Login(login) })
    }

    /// Ends the login with this id.
    pub fn log_out(&self, id: &str) {
        self.shared.logins.end(id);
    }

    /// Whether what an operator once proved still holds, with the same role: the login is not over,
    /// the user or the token is still there.
    pub fn holds(&self, operator: &Operator) -> bool {
        let table = self.shared.table.load();
        let role = match &operator.proof {
            Proof::Password(mark) => table.role_of(&operator.name, *mark),
            Proof::Login(login) => {
                let standing = self.shared.logins.standing(login);
                standing.and_then(|Standing { user, mark }| table.role_of(&user, mark))
            }
            Proof::Token(hash) => {
                table.tokens.iter().find(|token| token.hash.fits(hash)).map(|token| token.role)
            }
        };
        role == Some(operator.role)
    }

    /// How many Argon2id computations were run since the start.
    pub fn hash_runs(&self) -> u64 {
        self.shared.passwords.hash_runs()
    }
}

/// Shows how many operators there are, and nothing of them.
impl fmt::Debug for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operators").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// 256 random bits.
fn random() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// 256 bits as 64 lower-case hexadecimal digits.
fn hex(bytes: [u8; 32]) -> String {
    blake3::Hash::from_bytes(bytes).to_hex().to_string()
}
