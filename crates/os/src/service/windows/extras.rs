//! The settings of a service beside the main ones: what is asked of the service control manager, what it has, and
//! what is done about the difference.

use std::time::Duration;

use windows_service::Error;
use windows_service::service::{
    Service, ServiceAction, ServiceActionType, ServiceFailureActions, ServiceFailureResetPeriod,
    ServiceSidType,
};

use super::super::{Definition, Kind, Outcome, Recovery, StartType};
use super::{SERVICES, registry, security};

/// What a machine that shuts down grants a service for its end.
const PRESHUTDOWN: Duration = Duration::from_secs(30);
/// All that lifesign needs of a token's privileges: passing through folders, and sections that users' programs open.
const PRIVILEGES: [&str; 2] = ["SeChangeNotifyPrivilege", "SeCreateGlobalPrivilege"];
/// How many settings there are.
pub(super) const COUNT: usize = 7;

/// The settings, as they should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extras {
    /// The service.
    name: String,
    /// One sentence for people.
    description: String,
    /// It is started some time after the other automatic services.
    is_delayed: bool,
    /// What the manager does when it fails.
    recovery: Recovery,
    /// The only privileges left of its account's; empty: all of them.
    privileges: &'static [&'static str],
}

impl Extras {
    pub(super) fn of(definition: &Definition) -> Self {
        Self {
            name: definition.name.clone(),
            description: definition.description.clone(),
            is_delayed: definition.start == StartType::Delayed,
            recovery: definition.recovery.clone(),
            // A program inherits them from whoever starts it, and nothing is known of what others' programs need.
            privileges: match definition.kind() {
                Kind::Monitor => &PRIVILEGES,
                Kind::Host | Kind::Wrapper => &[],
            },
        }
    }

    /// The settings in words, in the order of [`Extras::set`].
    pub(super) fn words(&self) -> [String; COUNT] {
        let delayed = if self.is_delayed { "after" } else { "with" };
        let privileges = match self.privileges {
            [] => "leave it all privileges of its account: its programs may need them".to_owned(),
            some => format!("leave it only these privileges: {}", some.join(", ")),
        };
        [
            format!("describe it: {}", self.description),
            format!("start it {delayed} the other automatic services"),
            self.recovery.words(),
            "count an end with an error as a failure, too".to_owned(),
            "give it its own identity (service SID)".to_owned(),
            privileges,
            "grant it 30 s when the machine shuts down".to_owned(),
        ]
    }

    /// Which of them are so already, in the same order. What cannot be read is set anew.
    pub(super) fn are(&self, service: &Service) -> [bool; COUNT] {
        let key = format!(r"{SERVICES}\{}", self.name);
        let delayed = registry::read_number(&key, "DelayedAutostart").unwrap_or(0) != 0;
        [
            registry::read(&key, "Description").as_deref() == Some(self.description.as_str()),
            delayed == self.is_delayed,
            service.get_failure_actions().is_ok_and(|is| {
                let wanted = failure_actions(&self.recovery);
                is.reset_period == wanted.reset_period && is.actions == wanted.actions
            }),
            service.get_failure_actions_on_non_crash_failures().unwrap_or(false),
            service.get_config_service_sid_info().is_ok_and(|is| is == ServiceSidType::Unrestricted),
            // No list is no limit.
            registry::read_list(&key, "RequiredPrivileges").unwrap_or_default() == self.privileges,
            registry::read_number(&key, "PreshutdownTimeout").map(u128::from)
                == Some(PRESHUTDOWN.as_millis()),
        ]
    }

    /// Sets what is not so yet.
    pub(super) fn set(&self, service: &Service) -> [Result<Outcome, Error>; COUNT] {
        let set: [&dyn Fn() -> Result<(), Error>; COUNT] = [
            &|| service.set_description(&self.description),
            &|| service.set_delayed_auto_start(self.is_delayed),
            &|| service.update_failure_actions(failure_actions(&self.recovery)),
            &|| service.set_failure_actions_on_non_crash_failures(true),
            &|| service.set_config_service_sid_info(ServiceSidType::Unrestricted),
            &|| security::require_privileges(service, self.privileges).map_err(Error::Winapi),
            &|| service.set_preshutdown_timeout(PRESHUTDOWN),
        ];
        let mut are = self.are(service).into_iter();
        set.map(
            |set| {
                if are.next() == Some(true) { Ok(Outcome::Unchanged) } else { set().map(|()| Outcome::Done) }
            },
        )
    }
}

fn failure_actions(recovery: &Recovery) -> ServiceFailureActions {
    let restart = |delay: &Duration| ServiceAction { action_type: ServiceActionType::Restart, delay: *delay };
    let end = ServiceAction { action_type: ServiceActionType::None, delay: Duration::ZERO };
    let actions = recovery.after.iter().map(restart).chain(recovery.gives_up.then_some(end));
    ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(recovery.reset),
        reboot_msg: None,
        command: None,
        actions: Some(actions.collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(kind: Kind) -> Definition {
        Definition {
            name: "orders".to_owned(),
            display_name: "Orders".to_owned(),
            description: "Takes orders".to_owned(),
            argv: vec![r"C:\orders.exe".to_owned()],
            start: StartType::Delayed,
            account: None,
            data_dir: r"C:\orders".into(),
            reads: Vec::new(),
            writes: Vec::new(),
            controls: Vec::new(),
            kind,
            recovery: Recovery::default(),
            programs: None,
            agent: None,
            environment_file: None,
        }
    }

    #[test]
    fn lifesign_alone_gives_up_privileges_and_a_service_that_starts_programs_keeps_them() {
        let monitor = Extras::of(&definition(Kind::Monitor));
        assert_eq!(monitor.privileges, ["SeChangeNotifyPrivilege", "SeCreateGlobalPrivilege"]);
        assert!(monitor.words().iter().any(|step| step.starts_with("leave it only these privileges")));
        for kind in [Kind::Host, Kind::Wrapper] {
            let extras = Extras::of(&definition(kind));
            assert!(extras.privileges.is_empty(), "{kind:?}: {extras:?}");
            assert!(
                extras.words().iter().any(|step| step.starts_with("leave it all privileges")),
                "{kind:?}"
            );
        }
        let agent = Definition { programs: Some(true), ..definition(Kind::Monitor) };
        assert!(Extras::of(&agent).privileges.is_empty(), "its server may have it start programs");
    }

    #[test]
    fn the_manager_is_asked_for_the_waits_and_at_their_end_for_nothing_more() {
        let mut definition = definition(Kind::Monitor);
        let wait = |seconds| (ServiceActionType::Restart, Duration::from_secs(seconds));
        let asked = |definition: &Definition| -> Vec<(ServiceActionType, Duration)> {
            let actions = failure_actions(&Extras::of(definition).recovery).actions.unwrap();
            actions.into_iter().map(|action| (action.action_type, action.delay)).collect()
        };
        assert_eq!(asked(&definition), [wait(5), wait(30), wait(60)]);
        definition.recovery.gives_up = true;
        definition.recovery.after.truncate(1);
        assert_eq!(asked(&definition), [wait(5), (ServiceActionType::None, Duration::ZERO)]);
        definition.recovery.after.clear();
        assert_eq!(asked(&definition), [(ServiceActionType::None, Duration::ZERO)]);
    }

    #[test]
    fn what_is_asked_is_said_in_words_setting_by_setting() {
        let extras = Extras::of(&definition(Kind::Wrapper));
        let words = extras.words();
        for part in ["Takes orders", "after the other", "5s, 30s, 60s", "with an error", "SID", "30 s"] {
            assert!(words.iter().any(|word| word.contains(part)), "{part}: {words:?}");
        }
    }
}
