/** OpenLineage events (spec 2-0-2) of this project's runs: facets and names. Pure; transports send what is built here. */
import { VERSION } from '../base/version.js';
import { isDirect, type Role } from './query.js';

const PRODUCER = `https://www.npmjs.com/package/millrace/v/${VERSION}`;
const SPEC = 'https://openlineage.io/spec';
const EVENT_SCHEMA = `${SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent`;

type Json = Readonly<Record<string, unknown>>;

/** Facet key → version, name of its schema. */
const FACETS = {
  schema: ['1-2-0', 'SchemaDatasetFacet'],
  columnLineage: ['1-2-0', 'ColumnLineageDatasetFacet'],
  dataQualityMetrics: ['1-0-3', 'DataQualityMetricsInputDatasetFacet'],
  dataQualityAssertions: ['1-1-0', 'DataQualityAssertionsDatasetFacet'],
  version: ['1-0-1', 'DatasetVersionDatasetFacet'],
  inputStatistics: ['1-0-0', 'InputStatisticsInputDatasetFacet'],
  outputStatistics: ['1-0-2', 'OutputStatisticsOutputDatasetFacet'],
  jobType: ['2-0-4', 'JobTypeJobFacet'],
  sql: ['1-1-0', 'SQLJobFacet'],
  parent: ['1-2-0', 'ParentRunFacet'],
  errorMessage: ['1-0-1', 'ErrorMessageRunFacet'],
  processing_engine: ['1-1-1', 'ProcessingEngineRunFacet'],
} as const;

/** Ownership and documentation have one schema for datasets and one for jobs. */
const SHARED = {
  ownership: { dataset: ['1-0-1', 'OwnershipDatasetFacet'], job: ['1-0-1', 'OwnershipJobFacet'] },
  documentation: { dataset: ['1-1-0', 'DocumentationDatasetFacet'], job: ['1-1-0', 'DocumentationJobFacet'] },
} as const;

const stamped = ([version, name]: readonly [string, string], content: Json): Json => ({
  _producer: PRODUCER,
  _schemaURL: `${SPEC}/facets/${version}/${name}.json#/$defs/${name}`,
  ...content,
});

export const facet = (name: keyof typeof FACETS, content: Json): Json => ({
  [name]: stamped(FACETS[name], content),
});

/** Who answers for it and what it is, where it is written. */
export function documented(
  of: 'dataset' | 'job',
  { owner, description }: { readonly owner?: string; readonly description?: string },
): Json {
  return {
    ...(owner
      ? { ownership: stamped(SHARED.ownership[of], { owners: [{ name: owner, type: 'OWNER' }] }) }
      : {}),
    ...(description ? { documentation: stamped(SHARED.documentation[of], { description }) } : {}),
  };
}

export interface EventDataset {
  readonly namespace: string;
  readonly name: string;
  readonly facets?: Json;
  readonly inputFacets?: Json;
  readonly outputFacets?: Json;
}

export interface RunParent {
  readonly runId: string;
  readonly namespace: string;
  readonly job: string;
}

export interface EventFacts {
  readonly type: 'START' | 'COMPLETE' | 'FAIL' | 'ABORT';
  /** ISO 8601 in UTC. */
  readonly time: string;
  readonly runId: string;
  readonly namespace: string;
  readonly job: string;
  readonly jobFacets: Json;
  readonly runFacets: Json;
  readonly parent: RunParent | null;
  /** The outermost run, when it is another than the parent. */
  readonly root: RunParent | null;
  readonly inputs: readonly EventDataset[];
  readonly outputs: readonly EventDataset[];
}

export interface RunEvent {
  readonly eventType: EventFacts['type'];
  readonly eventTime: string;
  readonly producer: string;
  readonly schemaURL: string;
  readonly run: { readonly runId: string; readonly facets: Json };
  readonly job: { readonly namespace: string; readonly name: string; readonly facets: Json };
  readonly inputs: readonly EventDataset[];
  readonly outputs: readonly EventDataset[];
}

const link = ({ runId, namespace, job }: RunParent): Json => ({
  run: { runId },
  job: { namespace, name: job },
});

export function runEvent(facts: EventFacts): RunEvent {
  const { parent, root } = facts;
  return {
    eventType: facts.type,
    eventTime: facts.time,
    producer: PRODUCER,
    schemaURL: EVENT_SCHEMA,
    run: {
      runId: facts.runId,
      facets: {
        ...facet('processing_engine', { version: VERSION, name: 'millrace' }),
        ...(parent ? facet('parent', { ...link(parent), ...(root ? { root: link(root) } : {}) }) : {}),
        ...facts.runFacets,
      },
    },
    job: { namespace: facts.namespace, name: facts.job, facets: facts.jobFacets },
    inputs: facts.inputs,
    outputs: facts.outputs,
  };
}

/** A field of an input dataset and how it counts. */
export interface InputField {
  readonly namespace: string;
  readonly name: string;
  readonly field: string;
  readonly roles: readonly Role[];
}

const inputField = ({ roles, ...field }: InputField): Json => ({
  ...field,
  transformations: roles.map((role) => ({
    type: isDirect(role) ? 'DIRECT' : 'INDIRECT',
    subtype: role.toUpperCase(),
  })),
});

/** Empty where nothing is known: an empty facet would say that there is nothing. */
export function columnLineage(
  fields: ReadonlyMap<string, readonly InputField[]>,
  rows: readonly InputField[],
): Json {
  const known = [...fields].filter(([, inputs]) => inputs.length > 0);
  if (known.length === 0 && rows.length === 0) return {};
  return facet('columnLineage', {
    fields: Object.fromEntries(
      known.map(([field, inputs]) => [field, { inputFields: inputs.map(inputField) }]),
    ),
    ...(rows.length > 0 ? { dataset: rows.map(inputField) } : {}),
  });
}

/** UUID version 7 (RFC 9562): 48 bits of milliseconds, then 74 of the given random bytes (10 or more). */
export function uuidV7(milliseconds: number, random: Uint8Array): string {
  const bytes = new Uint8Array(16);
  for (let i = 0; i < 6; i++) bytes[i] = Math.floor(milliseconds / 2 ** (8 * (5 - i))) % 256;
  bytes.set(random.subarray(0, 10), 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Buffer.from(bytes).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
