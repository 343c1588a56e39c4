//! The records of a case, from its registration to its end.

use super::super::random::Random;
use super::people::{Agency, People};
use crate::exit::CommandError;
use annals::{Kind, LedgerId};
use annals_contracts::Value;
use annals_contracts::message::{Act, AttachedForm, CASE};

/// Records of one case: 16 of its own, 2 of the correction of one before.
pub(super) const RECORDS_PER_CASE: u64 = 18;
/// The hash that stands for every attachment.
const HASH: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

/// Who signs an act: 0 and 1 are investigators, 2 is the head.
type Signers = &'static [usize];

/// Acts in order: name, signers, data, attachments.
const ACTS: [(&str, Signers, &str, &[&str]); 10] = [
    (
        "register",
        &[0],
        r#"{"cause":"涉嫌经营超过保质期的食品","matter":"M","officers":[],"party":{"kind":"person","name":"青禾区子虚鲜果便利店"},"place":"青禾区麦浪路18号","source":"complaint"}"#,
        &[],
    ),
    (
        "file",
        &[0, 2],
        r#"{"facts":"现场发现超过保质期4日的纯牛奶14盒，收银记录显示售出3盒。","within_time_limit":true}"#,
        &[],
    ),
    (
        "scene",
        &[0, 1],
        r#"{"badges_shown":true,"begun":1000,"confirmed":"signed","ended":2000,"found":"冷藏柜第二层摆放纯牛奶14盒，检查时已超过保质期4日。","place":"青禾区麦浪路18号","recusal_told":true}"#,
        &[],
    ),
    (
        "conclude",
        &[0, 1],
        r#"{"confiscation_cents":1500,"discretion":"货值较小，减轻处罚。","facts":"经营超过保质期的纯牛奶17盒。","fine_cents":500000,"kinds":["fine","confiscation"],"major":false,"statutes":["《中华人民共和国食品安全法》第三十四条第十项"]}"#,
        &["report"],
    ),
    (
        "notify",
        &[0, 2],
        r#"{"doc_no":"罚告〔2025〕17号","hearing_told":true,"receiver":"吴此任"}"#,
        &["notice", "delivery"],
    ),
    ("waive", &[0], r#"{"text":"当事人声明放弃陈述申辩。"}"#, &["waiver"]),
    (
        "decide",
        &[2],
        r#"{"confiscation_cents":1500,"discretion":"货值较小，减轻处罚。","doc_no":"罚决〔2025〕17号","facts":"经营超过保质期的纯牛奶17盒。","fine_cents":500000,"kinds":["fine","confiscation"],"remedies":"六十日内可申请行政复议，六个月内可提起行政诉讼。","statutes":["《中华人民共和国食品安全法》第三十四条第十项"]}"#,
        &["decision"],
    ),
    ("serve", &[1, 0], r#"{"method":"direct","receiver":"吴此任","served_on":"2025-03-28"}"#, &["delivery"]),
    ("execute", &[0], r#"{"amount_cents":501500,"kind":"paid","voucher_no":"PJ-20250411"}"#, &["voucher"]),
    ("close", &[0, 2], r#"{"text":"罚没款已缴清，符合结案条件。"}"#, &["report", "delivery"]),
];
const CORRECTION: (&str, Signers, &str, &[&str]) =
    ("correct", &[0, 2], r#"{"reason":"笔误","right":"麦浪路18号","wrong":"麦浪路81号"}"#, &[]);

/// All cases so far, and who acts in them.
#[derive(Debug)]
pub(super) struct Caseload {
    ledger: LedgerId,
    people: People,
    acts: Vec<(Act, Signers)>,
    correction: Act,
    cases: u64,
    records: u64,
    /// How often each case was corrected.
    corrections: Vec<u32>,
    /// Which case of before is corrected.
    random: Random,
}

fn act(form: &(&str, Signers, &str, &[&str])) -> Act {
    let (name, _, data, attached) = form;
    let attach = |name: &&str| AttachedForm { hash: HASH.to_owned(), name: (*name).to_owned(), size: 4096 };
    Act {
        act: (*name).to_owned(),
        attachments: attached.iter().map(attach).collect(),
        case: String::new(),
        data: Value::parse_loose(data.as_bytes()).unwrap_or_default(),
        definition: (*name == "register").then(|| "enforcement".to_owned()),
        parents: Vec::new(),
    }
}

impl Caseload {
    pub(super) fn new(ledger: LedgerId, people: People) -> Self {
        let acts = ACTS.iter().map(|form| (act(form), form.1)).collect();
        let correction = Act { parents: vec!["#1".to_owned()], ..act(&CORRECTION) };
        Self {
            ledger,
            people,
            acts,
            correction,
            cases: 0,
            records: 0,
            corrections: Vec::new(),
            random: Random::default(),
        }
    }

    /// Records so far.
    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// Some of the cases that came to their end: agency, number, and how often each was corrected.
    pub(super) fn closed(&self) -> impl Iterator<Item = (&str, String, u32)> {
        let step = usize::try_from(self.cases / 1000 + 1).unwrap_or(usize::MAX);
        let cases = (0..self.cases).zip(&self.corrections).step_by(step);
        cases.map(|(case, corrections)| (self.agency(case).id.as_str(), number(case), *corrections))
    }

    fn agency_index(&self, case: u64) -> usize {
        usize::try_from(case % self.people.agencies.len() as u64).unwrap_or_default()
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length, which is not 0")]
    fn agency(&self, case: u64) -> &Agency {
        &self.people.agencies[self.agency_index(case)]
    }

    /// Signs the records of so many further cases, in the order in which they are sent: one act of all cases after the other.
    pub(super) fn round(&mut self, count: u64) -> Result<Vec<Vec<u8>>, CommandError> {
        let mut records = Vec::new();
        let (first, acts) = (self.cases, self.acts.clone());
        for (act, signers) in &acts {
            for case in first..first + count {
                self.sign(case, act.clone(), signers, &mut records)?;
            }
        }
        self.corrections.resize(self.corrections.len() + usize::try_from(count).unwrap_or_default(), 0);
        for _ in 0..count {
            let case = self.random.next() % (first + count);
            if let Some(corrections) = self.corrections.get_mut(usize::try_from(case).unwrap_or(usize::MAX)) {
                *corrections += 1;
            }
            let act = self.correction.clone();
            self.sign(case, act, CORRECTION.1, &mut records)?;
        }
        self.cases += count;
        self.records += records.len() as u64;
        Ok(records)
    }

    /// Signs one act: by the first, and by the others as countersigns.
    fn sign(
        &mut self,
        case: u64,
        mut act: Act,
        signers: Signers,
        records: &mut Vec<Vec<u8>>,
    ) -> Result<(), CommandError> {
        let (ledger, index) = (self.ledger, self.agency_index(case));
        let Some(agency) = self.people.agencies.get_mut(index) else { return Ok(()) };
        act.case = format!("{}/{}", agency.id, number(case));
        if let Value::Map(data) = &mut act.data
            && let Some(officers) = data.get_mut("officers")
        {
            let badges = agency.people.iter().take(2).map(|person| Value::from(person.badge.as_str()));
            *officers = Value::List(badges.collect());
        }
        let mut first = None;
        for signer in signers {
            let Some(person) = agency.people.get_mut(*signer) else { continue };
            let record = match first {
                None => person.sign(ledger, CASE, &act.encode())?,
                Some(record) => person.sign(ledger, Kind::COUNTERSIGN, annals::RecordId::as_bytes(&record))?,
            };
            first.get_or_insert(record.record_id());
            records.push(record.bytes().to_vec());
        }
        Ok(())
    }
}

fn number(case: u64) -> String {
    format!("2025-{case:07}")
}
