//! What an operator may do.

/// The two roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Look at everything, change nothing.
    Read,
    /// Everything.
    Operate,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Read, Self::Operate];

    /// The published name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }

    /// Whether it allows more than looking.
    pub fn may_change(self) -> bool {
        match self {
            Self::Read => false,
            Self::Operate => true,
        }
    }
}
