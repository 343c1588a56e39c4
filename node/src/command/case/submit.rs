//! `annals case submit`: an act, from what the command line says to an ordered record.

use super::act_name;
use crate::command::form;
use crate::command::looking::no_case_name;
use crate::command::submitting::{Desk, check_free};
use crate::exit::CommandError;
use crate::line::Submit;
use annals_contracts::days::OFFSET_MINUTES_DEFAULT;
use annals_contracts::definition::Compiled;
use annals_contracts::message::{Act, AttachedForm, CASE};
use annals_contracts::schema::Fields;
use annals_contracts::{Value, View, parse_case};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

pub(super) fn run(submit: &Submit) -> Result<u8, CommandError> {
    if parse_case(&submit.case).is_none() {
        return Err(no_case_name(&submit.case));
    }
    check_free(submit.prove.as_deref())?;
    let attachments = submit.attach.iter().map(|one| attached(one)).collect::<Result<Vec<_>, _>>()?;
    let data = submit.data.as_deref().map(form::read).transpose()?.unwrap_or_default();
    let mut desk = Desk::open(&submit.dir, &submit.key, submit.json, submit.accept_clock)?;
    let (definition, compiled) = definition_of(&desk.platform, submit)?;
    let data = with_fields(data, submit, compiled.as_deref())?;
    let act = Act {
        act: submit.act.clone(),
        attachments,
        case: submit.case.clone(),
        data,
        definition,
        parents: submit.parent.clone(),
    };
    let what = compiled.as_deref().map_or_else(|| submit.act.clone(), |compiled| act_name(compiled, &submit.act));
    let seq = desk.submit(CASE, &act.encode(), &format!("{what} in {}", submit.case))?;
    tell_case(&desk.platform, &submit.case)?;
    if let Some(out) = &submit.prove {
        desk.prove(seq, out)?;
    }
    desk.tell_next("case");
    desk.close()
}

/// The procedure that the case runs under, and its name if the case has still to begin: an opening act that waits has begun none.
fn definition_of(view: &View, submit: &Submit) -> Result<(Option<String>, Option<Arc<Compiled>>), CommandError> {
    let (agency, number) = parse_case(&submit.case).unwrap_or_default();
    let unopened = match view.case(agency, number)? {
        Some(instance) if 0 < instance.acts => {
            return Ok((submit.definition.clone(), Some(view.definition_of(&instance)?)));
        }
        instance => instance.map(|instance| instance.definition),
    };
    if let Some(name) = submit.definition.clone().or(unopened) {
        let compiled = view.definition(&name)?;
        return Ok((Some(name), compiled));
    }
    // Where there is one procedure only, no other can be meant; what is no step of it is told by its steps.
    match &view.definitions()?[..] {
        [(name, _)] => Ok((Some(name.clone()), view.definition(name)?)),
        _ => Ok((None, None)),
    }
}

/// The data with the fields that are set one by one.
fn with_fields(mut data: Value, submit: &Submit, compiled: Option<&Compiled>) -> Result<Value, CommandError> {
    let none = Fields::new();
    let payload = compiled.and_then(|compiled| {
        let name = compiled.transition(&submit.act)?.rule.payload.as_ref()?;
        compiled.definition().payloads.get(name)
    });
    let fields = payload.map_or(&none, |payload| &payload.fields);
    let offset = compiled.map_or(OFFSET_MINUTES_DEFAULT, |compiled| compiled.definition().utc_offset_minutes);
    for assignment in &submit.set {
        form::set(&mut data, assignment, fields, offset)?;
    }
    Ok(data)
}

/// A document by its BLAKE3, read as a stream.
fn attached(attachment: &str) -> Result<AttachedForm, CommandError> {
    let Some((name, path)) = attachment.split_once('=') else {
        return Err(CommandError::Wrong(format!("--attach {attachment}: write it as NAME=FILE")));
    };
    let path = Path::new(path);
    let error = |source| CommandError::Read { path: path.to_owned(), source };
    let mut hasher = blake3::Hasher::new();
    File::open(path).and_then(|file| hasher.update_reader(file).map(drop)).map_err(error)?;
    Ok(AttachedForm { hash: hasher.finalize().to_hex().to_string(), name: name.to_owned(), size: hasher.count() })
}

/// Where the case is now, and whose signatures an act in it waits for.
fn tell_case(view: &View, case: &str) -> Result<(), CommandError> {
    let (agency, number) = parse_case(case).unwrap_or_default();
    let Some(instance) = view.case(agency, number)? else { return Ok(()) };
    let compiled = view.definition_of(&instance)?;
    if !instance.state.is_empty() {
        say!("annals: {case} is in {} ({})", compiled.state_label(&instance.state), instance.state);
    }
    let missing = view.missing_signers(&instance)?;
    if !missing.is_empty() {
        let roles: Vec<_> = missing.iter().map(|rule| super::role_name(&compiled, &rule.role)).collect();
        say!("annals: must sign still: {}", roles.join(", "));
    }
    Ok(())
}
