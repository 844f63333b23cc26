//! Reloads the access rules when their file changes.
//!
//! Watches folders, never the file itself: editors and Kubernetes replace files by renaming or by
//! swapping a symlink, and a watch on the file would die with the old one.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::fault::AclError;
use super::live::{Acl, ReloadReport};

/// A change is read once nothing has happened for this long, so that a file written in pieces is
/// seen whole ...
const QUIET: Duration = Duration::from_millis(100);

/// ... but no later than this after its first sign: other files in the folder may never be quiet.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often the file is looked at without any sign. Network file systems give none.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// More symlinks in a row than this are a loop.
const LINKS_MAX: usize = 16;

/// A watch on the file of an [`Acl`]. Does nothing until [`run`](Self::run).
pub struct AclWatch {
    acl: Acl,
    path: PathBuf,
    signs: mpsc::Receiver<()>,
    watcher: Result<RecommendedWatcher, notify::Error>,
    folders: BTreeSet<PathBuf>,
    look_every: Duration,
}

impl AclWatch {
    /// Prepares to watch the file of `acl`, or gives `None` while the rules are switched off.
    pub fn new(acl: &Acl) -> Option<Self> {
        // Room for one: a second sign before the first was taken tells nothing new.
        let (sign, signs) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean that signs were lost, so it is one.
            if event.map_or(true, |event| is_change(&event)) {
                let _ = sign.try_send(());
            }
        });
        Some(Self {
            acl: acl.clone(),
            path: acl.path()?.to_owned(),
            signs,
            watcher,
            folders: BTreeSet::new(),
            look_every: LOOK_EVERY,
        })
    }

    /// Why the system gives no signs of changes, if it does not (too many watches, say). Changes
    /// are then found by looking every five seconds.
    pub fn without_signs(&self) -> Option<&notify::Error> {
        self.watcher.as_ref().err()
    }

    /// Watches for ever; drop the future to stop.
    ///
    /// `report` hears of each reload that changed the rules, of each new reason why the file
    /// cannot be taken (once, not at every look), and of its return to what is in force.
    pub async fn run(mut self, mut report: impl FnMut(Result<ReloadReport, AclError>)) {
        let mut seen = None;
        let mut complaint = None;
        loop {
            // First watch, then look: whatever happens after the look gives a sign.
            self.watch_folders();
            let stamp = Stamp::of(&self.path);
            if seen.as_ref() != Some(&stamp) {
                seen = Some(stamp);
                if let Some(outcome) = self.reload(&mut complaint).await {
                    report(outcome);
                }
            }
            self.next_sign().await;
        }
    }

    /// Reloads; `None` if the outcome is nothing new.
    async fn reload(
        &self,
        complaint: &mut Option<String>,
    ) -> Option<Result<ReloadReport, AclError>> {
        let acl = self.acl.clone();
        // Only a runtime that is shutting down, or a panic that was already reported, ends it.
        let outcome = tokio::task::spawn_blocking(move || acl.reload()).await.ok()?;
        let told = complaint.take();
        *complaint = outcome.as_ref().err().map(ToString::to_string);
        let is_new = match &outcome {
            Ok(done) => done.changed || told.is_some(),
            Err(_) => told != *complaint,
        };
        is_new.then_some(outcome)
    }

    /// Waits for a sign and then for quiet, or until it is time to look without one.
    async fn next_sign(&mut self) {
        tokio::select! {
            Some(()) = self.signs.recv() => {}
            () = sleep(self.look_every) => return,
        }
        let latest = Instant::now() + PATIENCE;
        loop {
            let quiet_at = latest.min(Instant::now() + QUIET);
            if timeout_at(quiet_at, self.signs.recv()).await != Ok(Some(())) {
                return;
            }
        }
    }

    /// Watches every folder on the way to the file, as the links lie now.
    fn watch_folders(&mut self) {
        let Ok(watcher) = &mut self.watcher else { return };
        let folders = folders_of(&self.path);
        // Also those that stay: the same path may lead to another folder by now. What cannot be
        // watched, such as a folder that is not there, is covered by looking.
        for folder in &self.folders {
            let _ = watcher.unwatch(folder);
        }
        for folder in &folders {
            let _ = watcher.watch(folder, RecursiveMode::NonRecursive);
        }
        self.folders = folders;
    }
}

/// Whether something may have changed; our own reading of the file must not count.
fn is_change(event: &notify::Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// The folders in which a rename could change what `path` means: its own, and that of every link
/// on the way.
fn folders_of(path: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let target = std::fs::read_link(&path);
        // The folder may itself be a link (`..data` of a mounted ConfigMap), swapped in its parent.
        if let (Ok(_), Some(parent)) = (std::fs::read_link(&folder), folder.parent()) {
            folders.insert(parent.to_owned());
        }
        folders.insert(folder.clone());
        match target {
            Ok(target) => path = folder.join(target),
            Err(_) => break,
        }
    }
    folders
}

/// What tells one state of a file from another without reading it.
///
/// The change time cannot be set back by hand, and the quiet time before each look is longer than
/// its grain, so no write slips by.
#[derive(PartialEq)]
enum Stamp {
    Missing,
    Present { device: u64, inode: u64, length: u64, modified: (i64, i64), changed: (i64, i64) },
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let Ok(metadata) = std::fs::metadata(path) else { return Self::Missing };
        Self::Present {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;
    use tokio::task::JoinSet;

    use super::*;
    use crate::user::UserName;

    type Outcomes = mpsc::UnboundedReceiver<Result<ReloadReport, AclError>>;

    const BLOCK: &str = "[global]\ndefault_policy = \"block\"\n";
    const ALLOW: &str = "[global]\ndefault_policy = \"allow\"\n";

    fn acl(path: &Path) -> Acl {
        Acl::from_file(path, UserName::new("anonymous").unwrap()).unwrap()
    }

    /// Starts a watch that relies on signs alone, so that the tests below cannot pass by looking.
    async fn watching(acl: &Acl) -> (JoinSet<()>, Outcomes) {
        let mut watch = AclWatch::new(acl).unwrap();
        assert!(watch.without_signs().is_none());
        watch.look_every = Duration::from_secs(3600);
        watch.watch_folders();
        run(watch)
    }

    fn run(watch: AclWatch) -> (JoinSet<()>, Outcomes) {
        let (sender, outcomes) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(watch.run(move |outcome| sender.send(outcome).unwrap()));
        (tasks, outcomes)
    }

    async fn next(outcomes: &mut Outcomes) -> Result<ReloadReport, AclError> {
        let wait = tokio::time::timeout(Duration::from_secs(20), outcomes.recv());
        wait.await.expect("the watch reports in time").expect("the watch is running")
    }

    fn policy(acl: &Acl) -> &'static str {
        acl.current().unwrap().default_policy().name()
    }

    #[tokio::test]
    async fn a_file_replaced_by_renaming_is_loaded_again_and_again() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("acl.toml");
        fs::write(&path, BLOCK).unwrap();
        let acl = acl(&path);
        let (_tasks, mut outcomes) = watching(&acl).await;
        for (generation, (text, expected)) in
            (1..).zip([(ALLOW, "allow"), (BLOCK, "block"), (ALLOW, "allow")])
        {
            let new = folder.path().join("acl.toml.new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, &path).unwrap();
            assert_eq!(next(&mut outcomes).await.unwrap().generation, generation);
            assert_eq!(policy(&acl), expected);
        }
    }

    #[tokio::test]
    async fn a_file_written_in_place_is_loaded() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("acl.toml");
        fs::write(&path, BLOCK).unwrap();
        let acl = acl(&path);
        let (_tasks, mut outcomes) = watching(&acl).await;
        fs::write(&path, ALLOW).unwrap();
        assert!(next(&mut outcomes).await.unwrap().changed);
        assert_eq!(policy(&acl), "allow");
    }

    #[tokio::test]
    async fn a_swapped_symlink_of_a_mounted_folder_is_followed_twice() {
        let folder = TempDir::new().unwrap();
        let volume = |name: &str, text: &str| {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("acl.toml"), text).unwrap();
        };
        let point_at = |name: &str| {
            symlink(name, folder.path().join("..data_tmp")).unwrap();
            fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        };
        volume("..1", BLOCK);
        volume("..2", ALLOW);
        volume("..3", BLOCK);
        point_at("..1");
        let path = folder.path().join("acl.toml");
        symlink("..data/acl.toml", &path).unwrap();
        let acl = acl(&path);
        let (_tasks, mut outcomes) = watching(&acl).await;
        for (name, expected) in [("..2", "allow"), ("..3", "block")] {
            point_at(name);
            assert!(next(&mut outcomes).await.unwrap().changed);
            assert_eq!(policy(&acl), expected);
        }
    }

    #[tokio::test]
    async fn the_file_behind_a_symlink_into_another_folder_is_watched() {
        let (front, back) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let real = back.path().join("rules.toml");
        fs::write(&real, BLOCK).unwrap();
        let path = front.path().join("acl.toml");
        symlink(&real, &path).unwrap();
        let acl = acl(&path);
        let (_tasks, mut outcomes) = watching(&acl).await;
        fs::write(back.path().join("new"), ALLOW).unwrap();
        fs::rename(back.path().join("new"), &real).unwrap();
        assert!(next(&mut outcomes).await.unwrap().changed);
        assert_eq!(policy(&acl), "allow");
    }

    #[tokio::test]
    async fn a_broken_file_is_reported_once_and_the_old_rules_stay() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("acl.toml");
        fs::write(&path, ALLOW).unwrap();
        let acl = acl(&path);
        let (_tasks, mut outcomes) = watching(&acl).await;
        fs::write(&path, "[global]\ndefault_polcy = \"block\"\n").unwrap();
        let error = next(&mut outcomes).await.unwrap_err().to_string();
        assert!(error.contains("acl.toml:2") && error.contains("default_policy"), "{error}");
        assert_eq!(policy(&acl), "allow");
        // The same text written anew is no news; the next report is that of the repair.
        fs::write(&path, "[global]\ndefault_polcy = \"block\"\n").unwrap();
        fs::write(&path, ALLOW).unwrap();
        let repaired = next(&mut outcomes).await.unwrap();
        assert_eq!((repaired.changed, repaired.generation), (false, 0));
    }

    #[tokio::test]
    async fn a_file_that_vanishes_is_reported_and_found_again() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("acl.toml");
        fs::write(&path, ALLOW).unwrap();
        let acl = acl(&path);
        let (_tasks, mut outcomes) = watching(&acl).await;
        fs::remove_file(&path).unwrap();
        assert!(matches!(next(&mut outcomes).await, Err(AclError::Read { .. })));
        assert_eq!(policy(&acl), "allow");
        fs::write(&path, BLOCK).unwrap();
        assert!(next(&mut outcomes).await.unwrap().changed);
        assert_eq!(policy(&acl), "block");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_without_any_sign_is_found_by_looking() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("acl.toml");
        fs::write(&path, BLOCK).unwrap();
        let acl = acl(&path);
        let mut watch = AclWatch::new(&acl).unwrap();
        watch.watcher = Err(notify::Error::generic("no more watches"));
        assert!(watch.without_signs().is_some());
        let (_tasks, mut outcomes) = run(watch);
        // Renamed into place: paused time does not wait for the clock of the file system.
        for (text, expected) in [(ALLOW, "allow"), (BLOCK, "block")] {
            let new = folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, &path).unwrap();
            assert!(next(&mut outcomes).await.unwrap().changed);
            assert_eq!(policy(&acl), expected);
        }
    }

    #[test]
    fn rules_that_are_switched_off_have_nothing_to_watch() {
        assert!(AclWatch::new(&Acl::off(UserName::new("anonymous").unwrap())).is_none());
    }
}
