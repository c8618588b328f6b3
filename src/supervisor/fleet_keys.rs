//! The fleet's keys outlive the machine: they are sealed and kept with the store, so that a new machine that has the store,
//! or a backup of it, is the same supervisor to all agents. A file of this machine opens them, or the recovery key.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::own_certificate;
use hal_base::seal::{RecoveryKey, SealKey};
use hal_base::secret::Secret;
use hal_base::{file, notify};
use hal_protocol::fleet_key::FleetKeys;
use hal_protocol::mark::Attribution;
use hal_store::kept::{FLEET_KEYS, Kept, OWN_KEYS, Unread};
use hal_store::state;

/// The key that opens what is sealed: beside the store, or among the credentials that systemd hands to the service.
const FILE: &str = "fleet.key";

/// The recovery key, from `hal-supervisor tls recover` to the next start, which uses it up.
const TYPED: &str = "recovery.key";

/// The pin of an authority that the fleet is to know from the next start on, whatever the store says.
const FROM_NOW_ON: &str = "fleet.pin";

/// How the end of a name begins that was set aside, and how many of these are tried.
const SET_ASIDE: &str = ".before.";
const MOST_OLDER: usize = 100;

/// What is sealed, as the seal says it.
const AUTHORITY_KEY: &str = "authority key";
const FLEET_KEY: &str = "fleet key";

/// Permissions of what a person leaves for the next start.
const OWNERS_ALONE: u32 = 0o600;

/// Bytes of a file that a person leaves.
const MOST_FILE: u64 = 1024;

/// What is said when they cannot be kept.
pub const NOT_KEPT: &str = "the fleet's keys are not kept with the store: a backup of today does not hold them; the next start \
                            tries again";

/// What a store keeps of the fleet's keys.
#[derive(Debug)]
pub enum Stored {
    /// Nothing: it is new, or of an earlier release.
    Nothing,
    /// These.
    Keys(FleetKeys),
    /// Something that cannot be read, and why.
    Unreadable(String),
}

impl Stored {
    /// In a store that was just opened.
    pub fn of(state: &[(String, Kept)]) -> Self {
        let name = state::name(FLEET_KEYS.name, OWN_KEYS);
        let row = state.iter().find(|(known, _)| *known == name);
        match row.map(|(_, row)| &row.value) {
            None => Self::Nothing,
            Some(Err(Unread { why, .. })) => Self::Unreadable(why.clone()),
            Some(Ok(value)) => match FLEET_KEYS.of(value) {
                Some(keys) => Self::Keys((**keys).clone()),
                None => Self::Unreadable("it is of another kind".into()),
            },
        }
    }
}

/// Brings the files of this machine up to what the store keeps, before a certificate is made of them. An authority that the
/// fleet does not know is never made or shown in silence.
pub fn bring_back(data: &Path, stored: &Stored) -> anyhow::Result<()> {
    let here = own_certificate::pin(data)?.map(|pin| pin.to_string());
    let is_chosen = here.is_some() && here == chosen(data)?;
    if matches!(stored, Stored::Nothing) && left(data, TYPED)?.is_some() {
        anyhow::bail!(
            "a recovery key was typed, and this store holds no keys that it could open: put the backup in its place first \
             ({} says so; remove it to go on without)",
            data.join(TYPED).display()
        );
    }
    match stored {
        Stored::Keys(keys) if here.as_ref() != Some(&keys.pin) && !is_chosen => {
            let key = opening(data, keys)?.with_context(|| locked(data, keys, here.as_deref()))?;
            let sealed = key.open(AUTHORITY_KEY, &keys.sealed).and_then(|pem| String::from_utf8(pem).ok());
            let pem = sealed.with_context(|| locked(data, keys, here.as_deref()))?;
            own_certificate::put_authority(data, &keys.authority, &Secret::new(pem))?;
            anyhow::ensure!(
                own_certificate::pin(data)?.is_some_and(|pin| pin.to_string() == keys.pin),
                "the fleet's keys in the store are not those that it names ({}): restore another backup",
                keys.pin
            );
            tracing::warn!(key = keys.pin, "the fleet's keys were brought back from the store");
        }
        Stored::Unreadable(why) if here.is_none() => anyhow::bail!(
            "the row {FLEET}/{OWN_KEYS} of the table state holds the keys by which the fleet knows this supervisor, and \
             cannot be read: {why}; restore another backup, or make new keys, which every agent is to be told of: \
             hal-supervisor tls init",
            FLEET = FLEET_KEYS.name
        ),
        _ => {}
    }
    Ok(())
}

/// What is to be kept with the store from now on; `None`: what is kept there. The files were brought up to it.
pub fn to_keep(data: &Path, stored: &Stored) -> anyhow::Result<Option<FleetKeys>> {
    let Some(pin) = own_certificate::pin(data)?.map(|pin| pin.to_string()) else { return Ok(None) };
    let known = match stored {
        Stored::Keys(keys) if keys.pin == pin => Some(keys),
        Stored::Unreadable(_) if chosen(data)?.as_ref() != Some(&pin) => return Ok(None),
        _ => None,
    };
    if let Some(keys) = known
        && key_of(data, keys)?.is_some()
    {
        return Ok(None);
    }
    // Sealed by this key until now, what the recovery key opens is worth nothing any more.
    let lost = known.filter(|keys| !keys.for_recovery.is_empty());
    if let Some(made) = lost.and_then(|keys| keys.recovery_made.as_ref()) {
        tracing::error!(
            "{} is not there any more, so the recovery key that {} has made at {} opens nothing: make another one \
             (hal-supervisor recovery-key)",
            data.join(FILE).display(),
            made.by,
            made.at
        );
    }
    // Another authority is another fleet to whoever has an old copy: it gets a key of its own.
    let own =
        if matches!(stored, Stored::Nothing) { SealKey::read(&data.join(FILE)).ok().flatten() } else { None };
    let key = match own {
        Some(key) => key,
        None => {
            let key = SealKey::fresh()?;
            write(data, &key)?;
            key
        }
    };
    let (authority, private) = own_certificate::read_authority(data)?;
    let sealed = key.seal(AUTHORITY_KEY, private.reveal().as_bytes())?;
    Ok(Some(FleetKeys { pin, authority, sealed, ..FleetKeys::default() }))
}

/// Forgets what a person has left for one start, once it is done.
pub fn is_kept(data: &Path) {
    for name in [TYPED, FROM_NOW_ON] {
        if let Err(error) = file::unless_gone(fs::remove_file(data.join(name))) {
            tracing::warn!(%error, "cannot remove {}", data.join(name).display());
        }
    }
}

/// The next start brings the keys back by this recovery key.
pub fn recover_by(data: &Path, typed: &str) -> anyhow::Result<()> {
    let key = RecoveryKey::parse(typed).map_err(anyhow::Error::msg)?;
    leave(data, TYPED, key.reveal().reveal())
}

/// From the next start on the fleet is to know the authority that is here, whatever the store says.
pub fn keep_from_now_on(data: &Path) -> anyhow::Result<String> {
    let pin = own_certificate::pin(data)?
        .with_context(|| format!("{} or its key is not there", own_certificate::authority(data).display()))?;
    leave(data, FROM_NOW_ON, &pin.to_string())?;
    Ok(pin.to_string())
}

/// Makes a recovery key for what is kept, and what is to be kept then.
pub fn recovery_key(
    data: &Path,
    keys: &FleetKeys,
    made: Attribution,
) -> anyhow::Result<(RecoveryKey, FleetKeys)> {
    let key = key_of(data, keys)?
        .with_context(|| format!("{FILE} does not open the fleet's keys: restart the supervisor"))?;
    let recovery = RecoveryKey::fresh()?;
    let for_recovery = recovery.key().seal_key(FLEET_KEY, &key)?;
    let keys = FleetKeys { for_recovery, recovery_made: Some(made), ..keys.clone() };
    Ok((recovery, keys))
}

/// The key that opens what the store keeps: that of this machine, or the one that was typed, which is this machine's then.
fn opening(data: &Path, keys: &FleetKeys) -> anyhow::Result<Option<SealKey>> {
    let unreadable = match key_of(data, keys) {
        Ok(Some(key)) => return Ok(Some(key)),
        Ok(None) => None,
        Err(error) => Some(error),
    };
    let Some(typed) = left(data, TYPED)? else { return unreadable.map_or(Ok(None), Err) };
    let recovery = RecoveryKey::parse(&typed).map_err(anyhow::Error::msg)?;
    let Some(key) = recovery.key().open_key(FLEET_KEY, &keys.for_recovery) else {
        // It may open older copies: it does not lie about.
        is_kept(data);
        let made = keys.recovery_made.as_ref();
        let when =
            made.map(|made| format!(", which {} has made at {}", made.by, made.at)).unwrap_or_default();
        anyhow::bail!(
            "the recovery key does not open the fleet's keys in this store: expected the newest one{when}; type it again \
             (hal-supervisor tls recover)"
        );
    };
    write(data, &key)?;
    Ok(Some(key))
}

fn locked(data: &Path, keys: &FleetKeys, here: Option<&str>) -> String {
    let have = match here {
        Some(here) => format!("the folder tls beside it holds another ({here})"),
        None => "this machine does not have it".to_owned(),
    };
    let recovery = match &keys.recovery_made {
        Some(made) => format!(
            "hal-supervisor tls recover, with the recovery key that {} has made at {}",
            made.by, made.at
        ),
        None => format!(
            "the file {FILE} of the machine before, put into {} (no recovery key was made)",
            data.display()
        ),
    };
    let anew = match here {
        Some(_) => "hal-supervisor tls keep goes on with the one that is here",
        None => "hal-supervisor tls init makes another one",
    };
    format!(
        "the fleet knows this supervisor by the key {}, and {have}. To be that supervisor again: {recovery}. To be \
         another one to every agent, which is to be told of it: {anew}",
        keys.pin
    )
}

/// The key of this machine that opens these: from what systemd hands to the service, and what lies beside the store, what was
/// set aside there among it. One that cannot be read is an error where no other opens them: it may be the one.
fn key_of(data: &Path, keys: &FleetKeys) -> anyhow::Result<Option<SealKey>> {
    let mut unreadable = None;
    for path in places(data)? {
        match SealKey::read(&path) {
            Ok(Some(key)) if key.open(AUTHORITY_KEY, &keys.sealed).is_some() => return Ok(Some(key)),
            Ok(_) => {}
            Err(error) => {
                let why = format!("{} cannot be read: give it to the user of the service", path.display());
                unreadable = Some(anyhow::Error::new(error).context(why));
            }
        }
    }
    unreadable.map_or(Ok(None), Err)
}

fn places(data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let handed = notify::credentials_folder().map(|folder| folder.join(FILE));
    let mut all: Vec<PathBuf> = handed.into_iter().chain([data.join(FILE)]).collect();
    let entries = fs::read_dir(data).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.with_context(|| format!("cannot look into {}", data.display()))?;
    let is_older = |name: &str| name.strip_prefix(FILE).is_some_and(|end| end.starts_with(SET_ASIDE));
    let names = entries.iter().filter(|entry| entry.file_name().to_str().is_some_and(is_older));
    all.extend(names.map(fs::DirEntry::path).take(MOST_OLDER));
    Ok(all)
}

/// Makes a key that of this machine. One that was there may open an older copy of the store: it is set aside.
fn write(data: &Path, key: &SealKey) -> anyhow::Result<()> {
    let path = data.join(FILE);
    let place = || format!("cannot write {}", path.display());
    if path.try_exists().with_context(place)? {
        file::set_aside(&path, "before").with_context(place)?;
    }
    key.write(&path).and_then(|()| file::give_to_owner(data, FILE)).with_context(place)
}

fn chosen(data: &Path) -> anyhow::Result<Option<String>> {
    left(data, FROM_NOW_ON)
}

fn leave(data: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = data.join(name);
    file::replace(&path, format!("{text}\n").as_bytes(), OWNERS_ALONE)
        .and_then(|()| file::give_to_owner(data, name))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn left(data: &Path, name: &str) -> anyhow::Result<Option<String>> {
    let path = data.join(name);
    let mut text = String::new();
    let read = match file::open_regular(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
        Ok(open) => std::io::Read::read_to_string(&mut std::io::Read::take(open, MOST_FILE), &mut text),
    };
    read.with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Some(text.trim().to_owned()))
}
