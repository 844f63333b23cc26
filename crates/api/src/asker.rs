//! Who sent a request, as far as it was proved.

use rustsocks_access::operators::Operator;

/// An operator, or anybody where no login is needed. The gate gives one to each request that it
/// lets through.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    operator: Option<Operator>,
}

impl Asker {
    /// Somebody on this machine, where no login is needed.
    pub(crate) fn anybody() -> Self {
        Self { operator: None }
    }

    pub(crate) fn operator(&self) -> Option<&Operator> {
        self.operator.as_ref()
    }

    /// What stands in a record that this asker had a hand in.
    pub(crate) fn signature(&self) -> String {
        match &self.operator {
            Some(program) if program.is_program() => format!("the token {}", program.name()),
            Some(person) => person.name().to_string(),
            None => "an operator".to_owned(),
        }
    }
}

impl From<Operator> for Asker {
    fn from(operator: Operator) -> Self {
        Self { operator: Some(operator) }
    }
}
