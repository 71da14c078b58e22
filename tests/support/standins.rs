//! Stand-ins for hardware encoders in child processes: the plugin of `tests/standins` in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// A machine with some hardware: a folder with the plugin, a registry and the verdicts.
pub struct StandIns {
    folder: TempDir,
    behaviours: Vec<(String, String)>,
}

impl StandIns {
    /// Those hardware encoders with what they do: `("vah264enc", "works")`. See `tests/standins/lib.rs` for the words.
    pub fn new(behaviours: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins).expect("a folder for the plugin");
        std::fs::copy(plugin(), plugins.join("libstandins.so")).expect("the plugin is copied");
        let mut stand_ins = Self {
            folder,
            behaviours: Vec::new(),
        };
        stand_ins.change(behaviours);
        stand_ins
    }

    /// From now on they do something else; the verdicts stay.
    pub fn change(&mut self, behaviours: &[(&str, &str)]) {
        let owned = |(name, does): &(&str, &str)| ((*name).to_owned(), (*does).to_owned());
        self.behaviours = behaviours.iter().map(owned).collect();
        // Which elements there are is kept in the registry.
        let _ = std::fs::remove_file(self.registry());
    }

    /// What a child process must have in its environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        let mut environment = vec![
            (
                "GST_PLUGIN_PATH".to_owned(),
                text(&self.folder.path().join("plugins")),
            ),
            ("GST_REGISTRY".to_owned(), text(&self.registry())),
            ("CACHE_DIRECTORY".to_owned(), text(&self.cache())),
        ];
        let variables = self.behaviours.iter();
        environment.extend(
            variables.map(|(name, does)| (format!("ATTACHE_STANDIN_{name}"), does.clone())),
        );
        environment
    }

    /// Where the verdicts are kept.
    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Another build of the plugin, as an update brings: the same one, changed at another time.
    #[allow(dead_code, reason = "the tests of devices have one plugin")]
    pub fn update_plugin(&self) {
        let file = self.folder.path().join("plugins/libstandins.so");
        let file = std::fs::File::options()
            .append(true)
            .open(file)
            .expect("the plugin");
        let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
        file.set_modified(earlier).expect("its time is set");
    }

    fn registry(&self) -> PathBuf {
        self.folder.path().join("registry.bin")
    }
}

/// The plugin; built once, since `cargo test --test` builds no example.
fn plugin() -> PathBuf {
    static PLUGIN: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let target = Path::new(env!("CARGO_BIN_EXE_attache"))
            .parent()
            .expect("the target folder");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--example", "standins"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        let plugin = target.join("examples/libstandins.so");
        assert!(
            built.is_ok_and(|status| status.success()) && plugin.is_file(),
            "the stand-ins are built into {}",
            plugin.display()
        );
        plugin
    };
    PLUGIN.get_or_init(build).clone()
}
