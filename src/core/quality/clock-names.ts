/** What people call the times of a record. Only for proposals: whoever reads them decides. */

const EVENT = [
  /^(event_?time|event_?timestamp|event_?ts|occurred(_?at|_?on)?|happened(_?at)?|valid_?from|effective_?(from|date|at))$/,
  /^(timestamp|datetime|date_?time|time|ts|at|date)$/,
  /_(at|on|time|ts|timestamp|datetime|date)$|^(date|time)_/,
];
const AVAILABLE =
  /^(_?(loaded|load|ingested|ingest|inserted|arrived|received|available|published|recorded|extracted|etl|dwh|sys|system)(_?(at|on|time|ts|timestamp|date))?)$/;
const CHANGED = /^(last_)?(updated|modified|changed|deleted|expires?|expired|valid_?(to|until))(_|$)/;

/** How much a name sounds like the time at which something happened: 0 is not at all. */
export function eventTimeScore(name: string): number {
  const folded = fold(name);
  if (AVAILABLE.test(folded) || CHANGED.test(folded)) return 1;
  const rank = EVENT.findIndex((pattern) => pattern.test(folded));
  return rank < 0 ? 2 : 5 - rank;
}

/** Whether a name sounds like the time at which a record reached the system. */
export const soundsAvailable = (name: string): boolean => AVAILABLE.test(fold(name));

/** `invoiceNo`, `Invoice No` and `invoice_no` are one name. */
export const fold = (name: string): string =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
    .toLowerCase();
