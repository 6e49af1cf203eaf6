import type { Source } from '../../core/define/types.js';
import {
  effectiveContract,
  messageFor,
  notJudged,
  typeOfField,
  typeReason,
} from '../../core/quality/index.js';
import { type Coerced, coerceJson, coerceText } from '../../core/schema/coerce.js';
import { printValue } from '../../core/schema/coerce-print.js';
import { inTimeFormat } from '../../core/schema/time-format.js';
import type { Value } from '../../core/schema/types.js';
import type { QuarantinedRow } from '../../ports/record-log.js';
import { type InputField, inputFields } from './shape.js';
import { coerceOptions, RANGE_RULE, wideSource } from './stage.js';

/** Messages for the rule ids that SQL found, from the row as it came and the values that rules put into it. */
export function explainer(
  source: Source,
  errors: Readonly<Record<string, string>>,
): (
  row: Readonly<Record<string, unknown>>,
  rules: readonly string[],
  json: boolean,
  repaired: ReadonlyMap<string, Value>,
) => QuarantinedRow['reasons'] {
  const wide = wideSource(source);
  const fields = inputFields(source);
  const options = coerceOptions(source);
  const rules = new Map(effectiveContract(wide).rows.map((rule) => [rule.id, rule]));
  const byName = new Map(fields.map((field) => [field.name, field]));
  const byType = new Map(fields.map((field) => [`${field.name}.type`, field]));
  return (row, ids, json, repaired) => {
    const given = (field: InputField): unknown => row[field.from ?? field.name] ?? null;
    const read = (field: InputField): Coerced | null => {
      const raw = given(field);
      if (raw === null) return null;
      return json
        ? coerceJson(field.type, inTimeFormat(field, raw), options)
        : coerceText(field.type, inTimeFormat(field, raw) as string, options);
    };
    return ids.map((id) => {
      const unread = byType.get(id);
      const coerced = unread && read(unread);
      const reason = coerced && typeReason(unread.name, given(unread), coerced, unread.format);
      if (reason) return { rule: id, field: reason.field, value: reason.value, message: reason.message };
      const rule = rules.get(id);
      if (!rule) {
        const message =
          id === RANGE_RULE
            ? 'available_at is outside of the years 1684 to 2255'
            : `${unread?.name ?? id} cannot be read`;
        return { rule: id, field: unread?.name ?? null, value: unread ? given(unread) : null, message };
      }
      const error = errors[id];
      if (rule.field === null)
        return {
          rule: id,
          field: null,
          value: null,
          message:
            error === undefined
              ? messageFor(rule, null, typeOfField(wide.fields, null))
              : notJudged(rule, error),
        };
      const field = byName.get(rule.field)!;
      const delivered = read(field);
      const before = delivered?.ok ? delivered.value : null;
      const value = repaired.has(rule.field) ? repaired.get(rule.field)! : before;
      const shown = value === before ? given(field) : printValue(field.type, value);
      return { rule: id, field: rule.field, value: shown, message: messageFor(rule, value, field.type) };
    });
  };
}
