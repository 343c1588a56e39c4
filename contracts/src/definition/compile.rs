//! Compiling a definition: every guard parsed and type-checked, every name looked up once.

use super::check::{Faults, REQUIRES_MAX, check};
use super::personal::Sources;
use super::{Definition, Effects, Fault, Transition, Trigger};
use crate::guard::{Field, Guard, Scope, Type};
use crate::label::Label;
use crate::schema::{Fields, Kind, record_type};
use crate::value::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a definition may rely on: what the registries hold when it is deployed.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Fields of each registry's entries, by the registry's name.
    pub registries: BTreeMap<String, Fields>,
    /// Ids of the calendars that are registered.
    pub calendars: BTreeSet<String>,
}

/// A definition that was checked as a whole, ready to be applied.
#[derive(Debug)]
pub struct Compiled {
    definition: Definition,
    transitions: BTreeMap<String, CompiledTransition>,
    automatic: Vec<String>,
    secret_when: Option<Guard>,
}

/// A transition whose guards are ready.
#[derive(Debug)]
pub struct CompiledTransition {
    /// What the definition says.
    pub rule: Transition,
    /// Lookups: the name in guards, the registry, the expression of the id, what is told if there is no valid entry.
    pub lookups: Vec<CompiledLookup>,
    /// What must hold.
    pub requires: Vec<Requirement>,
    /// Attachments that must be there: name, label, and when.
    pub attachments: Vec<CompiledAttachment>,
    /// Fields of the case and the expressions that give their values.
    pub set: Vec<(String, Guard)>,
    /// Who may not act any more.
    pub recuse: Option<Guard>,
    /// Which agency goes on.
    pub transfer_to: Option<Guard>,
    /// The variables that these expressions name: no other need be made.
    variables: BTreeSet<String>,
}

/// A guard, and what is told if it does not hold.
#[derive(Debug)]
pub struct Requirement {
    /// The guard.
    pub guard: Guard,
    /// What is missing.
    pub otherwise: Label,
}

/// A registry entry that guards see.
#[derive(Debug)]
pub struct CompiledLookup {
    /// Its name in guards.
    pub name: String,
    /// The registry.
    pub registry: String,
    /// Gives the entry's id.
    pub id: Guard,
    /// What is told if there is no valid entry.
    pub otherwise: Label,
}

/// A document that must be attached.
#[derive(Debug)]
pub struct CompiledAttachment {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub label: Label,
    /// Only then.
    pub when: Option<Guard>,
}

impl Compiled {
    /// Checks a definition as a whole and makes it ready.
    ///
    /// # Errors
    ///
    /// Every [`Fault`] that was found, at least one.
    pub fn new(mut definition: Definition, surroundings: &Surroundings) -> Result<Self, Vec<Fault>> {
        expand(&mut definition);
        let mut faults = Faults::default();
        check(&definition, surroundings, &mut faults);
        let mut transitions = BTreeMap::new();
        for transition in &definition.transitions {
            let compiled = CompiledTransition::new(transition, &definition, surroundings, &mut faults);
            transitions.insert(transition.name.clone(), compiled);
        }
        let secret_when = definition.publication.secret_when.as_ref().and_then(|source| {
            let scope = Scope::new([("case", case_type(&definition))]);
            guard("publication.secret_when", source, &scope, &Type::Bool, &mut faults)
        });
        let automatic = automatic(&definition, &transitions, &mut faults);
        let faults = faults.into_list();
        if faults.is_empty() { Ok(Self { definition, transitions, automatic, secret_when }) } else { Err(faults) }
    }

    /// Reads a definition from its value, and compiles it.
    ///
    /// # Errors
    ///
    /// Every [`Fault`]; one if the value has not a definition's form.
    pub fn from_value(value: &Value, surroundings: &Surroundings) -> Result<Self, Vec<Fault>> {
        let read: Result<Definition, _> = value.clone().read();
        let definition = read.map_err(|error| vec![Fault { at: "definition".to_owned(), problem: error.to_string() }]);
        Self::new(definition?, surroundings)
    }

    /// What it was made of.
    pub const fn definition(&self) -> &Definition {
        &self.definition
    }

    /// A transition.
    pub fn transition(&self, name: &str) -> Option<&CompiledTransition> {
        self.transitions.get(name)
    }

    /// The transitions that happen by themselves, in the definition's order.
    pub fn automatic(&self) -> impl Iterator<Item = &CompiledTransition> {
        self.automatic.iter().filter_map(|name| self.transitions.get(name))
    }

    /// The guard that keeps a case from the public.
    pub const fn secret_when(&self) -> Option<&Guard> {
        self.secret_when.as_ref()
    }

    /// A deadline.
    pub fn deadline(&self, name: &str) -> Option<&super::Deadline> {
        self.definition.deadlines.iter().find(|deadline| deadline.name == name)
    }

    /// A task.
    pub fn task(&self, name: &str) -> Option<&super::Task> {
        self.definition.tasks.iter().find(|task| task.name == name)
    }

    /// What people call a state; its name if it is none.
    pub fn state_label(&self, name: &str) -> String {
        let state = self.definition.states.iter().find(|state| state.name == name);
        state.map_or_else(|| name.to_owned(), |state| state.label.to_string())
    }

    /// Whether a case that is in this state has ended.
    pub fn is_final(&self, name: &str) -> bool {
        self.definition.states.iter().any(|state| state.name == name && state.is_final)
    }
}

/// Writes all states out that are meant by `*`.
fn expand(definition: &mut Definition) {
    let open = definition.states.iter().filter(|state| !state.is_final).map(|state| state.name.clone());
    let open: Vec<_> = open.collect();
    for transition in &mut definition.transitions {
        if transition.from.iter().any(|state| state == "*") {
            transition.from.retain(|state| state != "*");
            transition.from.extend(open.iter().cloned());
            transition.from.sort();
            transition.from.dedup();
        }
    }
}

/// The type of an officer, as guards see signers.
fn officer_type() -> Type {
    let (text, texts) = (|| Field::required(Type::Text), || Field::required(Type::list(Type::Text)));
    Type::record([("key", text()), ("officer", text()), ("agency", text()), ("roles", texts()), ("scope", texts())])
}

/// The type of a case, as guards see it.
fn case_type(definition: &Definition) -> Type {
    let (text, integer) = (|| Field::required(Type::Text), || Field::required(Type::Integer));
    let (texts, numbers) = (|| Field::required(Type::list(Type::Text)), || Field::required(Type::map(Type::Integer)));
    // Nothing of its data is there before a record sets it.
    let data = definition.case.iter().map(|(name, schema)| (name.clone(), Field::optional(schema.guard_type())));
    Type::record([
        ("agency", text()),
        ("number", text()),
        ("state", text()),
        ("acts", integer()),
        ("opened", integer()),
        ("data", Field::required(Type::Record(data.collect()))),
        ("done", numbers()),
        ("due", numbers()),
        ("holds", texts()),
        ("tasks", texts()),
        ("recused", texts()),
        ("suspended", Field::required(Type::Bool)),
    ])
}

/// What a transition's guards see, without its lookups.
fn scope(transition: &Transition, definition: &Definition) -> Scope {
    let at = ["seq", "height", "time"].map(|name| (name, Field::required(Type::Integer)));
    let scope = Scope::new([("case", case_type(definition)), ("at", Type::record(at))]);
    if transition.trigger != Trigger::Signed {
        return scope;
    }
    let payload = transition.payload.as_ref().and_then(|name| definition.payloads.get(name));
    let none = Fields::new();
    let record = record_type(payload.map_or(&none, |payload| &payload.fields));
    scope.with("record", record).with("actor", officer_type()).with("signers", Type::list(officer_type()))
}

fn guard(at: &str, source: &str, scope: &Scope, expected: &Type, faults: &mut Faults) -> Option<Guard> {
    match Guard::compile(source, scope, expected) {
        Ok(guard) => Some(guard),
        Err(found) => {
            for fault in found {
                faults.find(at, fault.to_string());
            }
            None
        }
    }
}

impl CompiledTransition {
    fn new(rule: &Transition, definition: &Definition, surroundings: &Surroundings, faults: &mut Faults) -> Self {
        let at = format!("transition {}", rule.name);
        let mut scope = scope(rule, definition);
        let mut lookups = Vec::new();
        for lookup in &rule.lookup {
            let place = format!("{at}, lookup {}", lookup.name);
            let id = guard(&place, &lookup.id, &scope, &Type::Text, faults);
            let Some(fields) = surroundings.registries.get(&lookup.registry) else {
                let known: Vec<_> = surroundings.registries.keys().map(String::as_str).collect();
                faults.find(&place, format!("no registry {:?}; there are {}", lookup.registry, known.join(", ")));
                continue;
            };
            if scope.get(&lookup.name).is_some() {
                faults.find(&place, "the name is taken; choose another one".to_owned());
            }
            scope = scope.with(&lookup.name, record_type(fields));
            let (name, registry) = (lookup.name.clone(), lookup.registry.clone());
            lookups.extend(id.map(|id| CompiledLookup { name, registry, id, otherwise: lookup.otherwise.clone() }));
        }
        let mut requires = Vec::new();
        for (number, require) in rule.requires.iter().enumerate() {
            let place = format!("{at}, requires {}", number + 1);
            if require.otherwise.is_empty() {
                faults.find(&place, "says not what is missing: give it an else label".to_owned());
            }
            let otherwise = require.otherwise.clone();
            let guard = guard(&place, &require.that, &scope, &Type::Bool, faults);
            requires.extend(guard.map(|guard| Requirement { guard, otherwise }));
        }
        let mut attachments = Vec::new();
        for attachment in &rule.attachments {
            let place = format!("{at}, attachment {}", attachment.name);
            let when = attachment.when.as_ref().and_then(|source| guard(&place, source, &scope, &Type::Bool, faults));
            let (name, label) = (attachment.name.clone(), attachment.label.clone());
            attachments.push(CompiledAttachment { name, label, when });
        }
        let Effects { set, recuse, transfer_to, .. } = &rule.effects;
        let text = |what: &str, source: &Option<String>, faults: &mut Faults| {
            let source = source.as_ref()?;
            guard(&format!("{at}, {what}"), source, &scope, &Type::Text, faults)
        };
        let recuse = text("recuse", recuse, faults);
        let transfer_to = text("transfer_to", transfer_to, faults);
        let set = set.iter().filter_map(|(field, source)| {
            let place = format!("{at}, set {field}");
            let Some(schema) = definition.case.get(field) else {
                faults.find(&place, "the case has no such field; declare it under [case]".to_owned());
                return None;
            };
            let guard = guard(&place, source, &scope, &schema.guard_type(), faults)?;
            let sources = Sources { rule, definition, surroundings };
            if let Some(read) = guard.reads().into_iter().find(|read| sources.is_personal(read))
                && schema.kind != Kind::Bool
                && !schema.is_personal()
            {
                faults.find(
                    &place,
                    format!("takes what {read} tells of a person; mark {field} personal = true, or leave it out"),
                );
            }
            Some((field.clone(), guard))
        });
        let set = set.collect();
        let variables = BTreeSet::new();
        let mut compiled =
            Self { rule: rule.clone(), lookups, requires, attachments, set, recuse, transfer_to, variables };
        compiled.variables = compiled.expressions().flat_map(Guard::reads).map(|read| read.variable).collect();
        compiled
    }

    /// All its expressions.
    fn expressions(&self) -> impl Iterator<Item = &Guard> {
        let (ids, requires) = (self.lookups.iter().map(|it| &it.id), self.requires.iter().map(|it| &it.guard));
        let (whens, set) = (self.attachments.iter().filter_map(|it| it.when.as_ref()), self.set.iter().map(|it| &it.1));
        ids.chain(requires).chain(whens).chain(set).chain(&self.recuse).chain(&self.transfer_to)
    }

    /// Whether one of its expressions names a variable.
    pub(crate) fn reads(&self, variable: &str) -> bool {
        self.variables.contains(variable)
    }

    /// Whether two transitions can never both be enabled: one requires what the other excludes.
    fn excludes(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.requires.iter().take(REQUIRES_MAX), other.requires.iter().take(REQUIRES_MAX));
        let pairs = ours.flat_map(|ours| theirs.clone().map(move |theirs| (ours, theirs)));
        pairs.into_iter().any(|(ours, theirs)| ours.guard.excludes(&theirs.guard))
    }
}

/// The automatic transitions in order; two that may be enabled at once are a fault.
fn automatic(
    definition: &Definition,
    compiled: &BTreeMap<String, CompiledTransition>,
    faults: &mut Faults,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for transition in definition.transitions.iter().filter(|each| each.trigger == Trigger::Automatic) {
        for earlier in &names {
            let (Some(one), Some(two)) = (compiled.get(earlier), compiled.get(&transition.name)) else { continue };
            let shared = one.rule.from.iter().find(|state| two.rule.from.contains(state));
            if let Some(state) = shared
                && !one.excludes(two)
            {
                let problem = format!(
                    "may be enabled at once with {earlier} in state {state}; let one require what the other excludes, as `x` and `!(x)`"
                );
                faults.find(&format!("transition {}", transition.name), problem);
            }
        }
        names.push(transition.name.clone());
    }
    names
}

/// Kinds of fields that a scope field may have.
pub(super) fn is_text(kind: Kind) -> bool {
    kind == Kind::Text
}
