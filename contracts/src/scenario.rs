//! Scenarios: requirements that can be run. A story of officers and a case, in steps that an agency reads and this runs.
//!
//! The form is written down in `services/enforcement/scenarios/README.md`. A scenario runs on a [`Platform`](crate::Platform) of its
//! own, with everything that a real one has, ledger, signatures and state, but for the clock, which stands still until a step sets it.
//! The first step that is not as expected ends it, and is told with its number, line and sentence, what was expected and what was found.
//! At the end every scenario is replayed from genesis.
//!
//! | file | has |
//! |---|---|
//! | `form`, `step`, `read` | what a file may say, with the samples of its city put in |
//! | `moment` | moments, and those told from the clock |
//! | `world` | platform, clock, people and their keys |
//! | `run`, `report` | one step after the other, and what it came to |
//! | `acting`, `putting`, `damage` | what is submitted |
//! | `checking`, `proving` | what must hold, be proved, and come out again |
//!
//! What it does not do: measure, cut power, or send over a network. Expectations are the file's alone: nothing is learnt from a run.

mod acting;
mod checking;
mod damage;
mod error;
mod form;
mod moment;
mod proving;
mod putting;
mod read;
mod report;
mod run;
mod step;
mod world;

pub use error::ScenarioError;
pub use read::{Scenario, find};
pub use report::{Failure, Report};

use crate::service::Service;

impl Scenario {
    /// Reads the service that it is for, from its place.
    ///
    /// # Errors
    ///
    /// [`ScenarioError::Service`] naming the file.
    pub fn read_service(&self) -> Result<Service, ScenarioError> {
        let path = self.service_directory();
        Service::read(&path).map_err(|source| ScenarioError::Service { path, source })
    }
}
