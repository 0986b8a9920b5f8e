//! Whether a table's files are where its log says, and as long. A reader of several files passes over one that is not there, so who must not miss one looks first.

use std::collections::{BTreeMap, BTreeSet};

use super::Warehouse;
use super::delta::DataFile;
use super::tables::Table;
use crate::error::JobError;

impl Warehouse {
    /// The first of a table's files that is not as it was written, and what is wrong with it. What its bytes are is for readers to find: pages have checksums.
    ///
    /// # Errors
    /// When the warehouse cannot be listed.
    pub async fn damaged<'f>(
        &self,
        table: &Table,
        files: &'f [DataFile],
    ) -> Result<Option<(&'f DataFile, String)>, JobError> {
        let days: BTreeSet<_> = files.iter().map(|file| file.day).collect();
        let mut sizes = BTreeMap::new();
        for day in days {
            let there = self.list(&format!("{}/day={day}", table.name)).await?;
            sizes.extend(there.into_iter().map(|o| (o.path, o.bytes)));
        }
        for file in files {
            let why = match sizes.get(&format!("{}/{}", table.name, file.path)) {
                Some(bytes) if *bytes == file.bytes => continue,
                Some(bytes) => format!("it has {bytes} bytes instead of {}", file.bytes),
                None => "it is not there".to_owned(),
            };
            return Ok(Some((file, why)));
        }
        Ok(None)
    }
}
