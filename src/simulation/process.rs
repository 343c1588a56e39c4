//! A process that has the ledger open: the engine and what works for it, one step after the other.

use super::world::{World, segment_key};
use crate::appender::Appender;
use crate::assembly::{Assembled, Material, Opening};
use crate::engine::{Engine, Progress, write_index};
use crate::open_error::OpenError;
use crate::options::Options;
use crate::reader::Reader;
use crate::shared::{Job, Shared};
use annals_storage::device::Device;
use annals_storage::disk::{Dice, Disk, SimulatedDevice, SimulatedDisk};
use annals_storage::index::IndexStore;
use annals_storage::log::Halted;
use annals_storage::recovery::Cut;
use annals_storage::segment::SegmentHeader;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Records that an appender may have outstanding.
const OUTSTANDING_MAX: u32 = 256;

/// An open ledger, driven by hand.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) shared: Arc<Shared>,
    engine: Engine,
    disk: Arc<dyn Disk>,
    /// The torn tail that opening has cut.
    pub(super) cut: Option<Cut>,
}

impl Process {
    pub(super) fn open(world: &World, disk: &SimulatedDisk, options: &Options) -> Result<Self, OpenError> {
        let material = Material {
            disk: Arc::new(disk.clone()),
            store: Arc::new(world.indexes.clone()) as Arc<dyn IndexStore>,
            key: Arc::clone(&world.key),
            segment_size: super::plan::SEGMENT_SIZE,
            time: world.time(),
        };
        let opening = Opening::recover(material, options)?;
        let device = Box::new(SimulatedDevice::new(disk)?) as Box<dyn Device>;
        let Assembled { shared, engine, disk, cut, .. } = opening.assemble(options, device)?;
        Ok(Self { shared, engine, disk, cut })
    }

    pub(super) fn appender(&self) -> Appender {
        Appender::new(&self.shared, OUTSTANDING_MAX).unwrap()
    }

    pub(super) fn reader(&self) -> Reader {
        Reader::live(Arc::clone(&self.shared.query), Arc::clone(&self.shared.authors))
    }

    /// A step of the engine, or of a worker.
    pub(super) fn step(&mut self, dice: &mut Dice, jobs: u32) -> Result<Progress, Halted> {
        if dice.happens(jobs)
            && let Some(job) = self.shared.jobs.pop()
        {
            self.do_job(dice, job);
        }
        // As the engine's thread does when it ends: whoever waits is told.
        self.engine.step().inspect_err(|_| self.shared.halt())
    }

    fn do_job(&self, dice: &mut Dice, job: Job) {
        match job {
            // As a worker does it, with a key that the seed decides.
            Job::Segment { number, size } => {
                let ledger = self.shared.ledger();
                let segment = SegmentHeader { ledger, number, size, key: segment_key(dice) };
                let created = self.disk.create_segment(number, size, &segment.encode());
                self.shared.jobs.put_created(created.map(|()| segment));
            }
            Job::Index(pending) => write_index(&self.shared, &pending),
        }
    }

    /// Does everything that there is to do, as long as time stands still.
    pub(super) fn settle(&mut self, dice: &mut Dice) -> Result<(), Halted> {
        let mut idle = 0;
        // Writes complete by dice: some looks in a row that find nothing are enough.
        while idle < 40 {
            let is_idle = self.step(dice, 1024)? == Progress::Idle && self.shared.jobs.is_empty();
            idle = if is_idle { idle + 1 } else { 0 };
        }
        Ok(())
    }

    /// Closes the ledger.
    pub(super) fn close(&mut self, dice: &mut Dice) -> Result<(), Halted> {
        self.shared.closing.store(true, Ordering::Release);
        let mut steps = 0;
        while self.step(dice, 1024)? != Progress::Closed {
            steps += 1;
            assert!(steps < 100_000, "closing ends");
        }
        while let Some(job) = self.shared.jobs.pop() {
            self.do_job(dice, job);
        }
        Ok(())
    }
}
