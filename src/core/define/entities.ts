import { fingerprint } from '../base/fingerprint.js';
import { printType, STRING, sameType, type ValueType } from '../schema/types.js';
import { documentationOf } from './collect.js';
import { foldName, isSystemName, PART_COLUMN } from './columns.js';
import { keyField, type Resolved } from './context.js';
import { rawJoinKeys } from './sources.js';
import type { Entity, JoinKey, Source } from './types.js';

/** Entities, their join keys typed by the sources that carry them: those that its features read come first. */
export function resolveEntities(context: Resolved): void {
  const { raw, report } = context;
  for (const [name, entity] of raw.entities) {
    const written = rawJoinKeys(entity);
    const subject = `entity \`${name}\``;
    if (written.length === 0) {
      if (!entity.$.keys.has('join_key') || entity.join_keys) {
        report.add(
          'DEF_MISSING_KEY',
          entity.$.place,
          `${subject} has no \`join_key\`: expected the field that identifies one`,
          {
            hint: 'Write `join_key: user_id`, or `join_keys: [hotel, agent]`.',
          },
        );
      }
      continue;
    }
    if (entity.join_key && entity.join_keys) {
      report.add(
        'DEF_INVALID_VALUE',
        entity.join_key.place,
        `${subject} has both \`join_key\` and \`join_keys\`: expected one of them`,
      );
    }
    const used = sourcesUsedWith(context, name);
    const others = [...context.entities.values()];
    const joinKeys: JoinKey[] = [];
    for (const key of written) {
      if (joinKeys.some((other) => other.name === key.value)) {
        report.add('DEF_DUPLICATE_NAME', key.place, `${subject} names the join key \`${key.value}\` twice`);
        continue;
      }
      if (isSystemName(key.value) || foldName(key.value) === PART_COLUMN) {
        report.add(
          'DEF_INVALID_VALUE',
          key.place,
          `${subject} has the join key \`${key.value}\`: \`${PART_COLUMN}\`, \`rowid\` and names that begin with _ are kept for the system`,
          { hint: 'Give the key another name, with `keys` in its sources.' },
        );
        continue;
      }
      const type = keyType(context, subject, key.value, used, key.place);
      const other = others.find((entity) =>
        entity.joinKeys.some((known) => known.name === key.value && !sameType(known.type, type)),
      );
      if (other) {
        report.add(
          'DEF_TYPE',
          key.place,
          `join key \`${key.value}\` is ${printType(type)} for ${subject} and ${printType(other.joinKeys.find((known) => known.name === key.value)!.type)} for entity \`${other.name}\``,
          {
            hint: 'Give one of the keys another name, with `keys` in its sources.',
          },
        );
      }
      joinKeys.push({ name: key.value, type });
    }
    const fingerprinted = fingerprint({
      kind: 'entity',
      name,
      joinKeys: joinKeys.map((key) => [key.name, printType(key.type)]),
    });
    const resolved: Entity = { ...documentationOf(entity), name, joinKeys, fingerprint: fingerprinted };
    context.entities.set(name, resolved);
  }
}

function sourcesUsedWith(context: Resolved, entity: string): readonly Source[] {
  const names = new Set<string>();
  for (const feature of context.raw.features.values()) {
    const entities = [...(feature.entity ? [feature.entity] : []), ...(feature.entities ?? [])].map(
      (item) => item.value,
    );
    const source = feature.aggregation?.source ?? feature.lookup?.source;
    if (source && entities.includes(entity)) names.add(source.value.split('.')[0]!);
  }
  for (const label of context.raw.labels.values()) {
    if (label.entity?.value === entity && label.aggregation?.source)
      names.add(label.aggregation.source.value.split('.')[0]!);
  }
  return [...names].flatMap((name) => context.sources.get(name) ?? []);
}

function keyType(
  context: Resolved,
  subject: string,
  key: string,
  used: readonly Source[],
  place: Entity['place'],
): ValueType {
  const { report } = context;
  let first: { readonly source: Source; readonly type: ValueType } | undefined;
  for (const source of used) {
    const field = keyField(source, key);
    if (!field) continue;
    if (!first) first = { source, type: field.type };
    else if (printType(first.type) !== printType(field.type)) {
      const written = (
        context.raw.sources.get(source.name) ?? context.raw.transforms.get(source.name)
      )?.fields?.get(field.name);
      report.add(
        'DEF_TYPE',
        written?.keyPlace ?? place,
        `join key \`${key}\` of ${subject} is ${printType(field.type)} in source \`${source.name}\` and ${printType(first.type)} in \`${first.source.name}\``,
        { hint: 'Keys are compared exactly: give the fields one type.' },
      );
    }
  }
  if (first) return first.type;
  for (const source of context.sources.values()) {
    const field = keyField(source, key);
    if (field) return field.type;
  }
  if (context.sources.size > 0 || context.raw.sources.size === 0) {
    report.add(
      'DEF_TYPE',
      place,
      `no source has the join key \`${key}\` of ${subject}; it is taken as string`,
      {
        severity: 'warning',
        hint: `Add the field, or \`keys: { ${key}: FIELD }\` to a source.`,
      },
    );
  }
  return STRING;
}
