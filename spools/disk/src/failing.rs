//! What failed, and whether it works again. A gateway is ready when what it had to refuse would be kept now: not yet when
//! something else was written, or nothing at all.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::group::Group;
use crate::store::{Trouble, private_file};

/// While no batch comes, it is tried this often.
const PROBE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    rows: bool,
    /// The segments.
    events: bool,
    pictures: bool,
    probed: Option<Instant>,
}

impl Failing {
    /// A group could not be kept.
    pub(crate) fn begin(&mut self, group: &Group) {
        self.rows = true;
        self.pictures |= group.pictures;
    }

    /// The events of a group could not be kept.
    pub(crate) fn begin_events(&mut self) {
        self.events = true;
    }

    /// A group was kept.
    pub(crate) fn went_well(&mut self, group: &Group) {
        self.rows &= !group.dirty;
        self.events &= group.rows.is_empty() && !group.has_probed;
        self.pictures &= !group.pictures;
    }

    /// Nothing is known to fail.
    pub(crate) fn is_over(&self) -> bool {
        !self.rows && !self.events && !self.pictures
    }

    /// Lets the group write something of what failed, when it would not by itself.
    pub(crate) fn probe(&mut self, group: &mut Group, images: &Path) -> Result<(), Trouble> {
        let is_early = self.probed.is_some_and(|at| at.elapsed() < PROBE);
        // A group of events proves the database too, although it need not write to it.
        if self.is_over() || (is_early && group.rows.is_empty()) {
            return Ok(());
        }
        self.probed = Some(Instant::now());
        group.dirty = true;
        group.probes = self.events;
        // A group without pictures must not fail because of them.
        if self.pictures && !group.pictures && write_picture(images).is_ok() {
            self.pictures = false;
        }
        Ok(())
    }
}

/// As much as keeping a picture does: a new file, written and synced.
fn write_picture(images: &Path) -> std::io::Result<()> {
    use std::io::Write as _;
    let path = images.join("probe");
    let mut file = private_file().open(&path)?;
    let written = file.write_all(&[0; 4096]).and_then(|()| file.sync_data());
    std::fs::remove_file(&path)?;
    written
}
