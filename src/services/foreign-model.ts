/** What a model that was made elsewhere says of itself: a directory of MLflow, or an ONNX file, and a signature. */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { MillraceError } from '../core/base/error.js';
import type { ImportedFrom } from './model-manifest.js';
import { ONNX_FILE } from './train-process.js';

export type MlflowFlavor = 'onnx' | 'pyfunc';

export interface ForeignModelFiles {
  readonly format: ImportedFrom['format'];
  readonly flavor: MlflowFlavor;
  /** The file, or the folder of a model that Python scores. */
  readonly from: string;
  /** Names of what it takes, in its order; null where it says none. */
  readonly inputs: readonly string[] | null;
  readonly classes: readonly string[] | null;
  readonly mlflow_version?: string;
  readonly run_id?: string;
}

interface Signature {
  readonly inputs: readonly string[] | null;
  readonly classes: readonly string[] | null;
}

const refused = (message: string, hint?: string): MillraceError =>
  new MillraceError('USAGE', message, hint === undefined ? {} : { hint });

const isText = (value: unknown): value is string => typeof value === 'string';
const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

function listOf(value: unknown, name: string): readonly string[] | null {
  if (value === undefined || value === null) return null;
  const names = Array.isArray(value)
    ? value.map((each: unknown) => (isText(each) ? each : (each as { name?: unknown } | null)?.name))
    : [];
  if (names.length > 0 && names.every(isText) && new Set(names).size === names.length) return names;
  throw refused(`\`${name}\` of the signature must be a list of different names`);
}

async function readSignature(file: string): Promise<Signature> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new MillraceError('FILE_NOT_FOUND', `there is no signature at "${file}"`, { cause });
  });
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (cause) {
    throw refused(`the signature "${file}" is not JSON: ${messageOf(cause)}`);
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw refused(
      `the signature "${file}" must hold an object`,
      'For example {"inputs": ["spend", "visits"]}.',
    );
  const { inputs, classes } = given as Readonly<Record<string, unknown>>;
  return { inputs: listOf(inputs, 'inputs'), classes: listOf(classes, 'classes') };
}

/** Names of the columns of a signature of MLflow; null where it is of tensors without names. */
function columnsOf(signature: unknown): readonly string[] | null {
  const inputs = (signature as { inputs?: unknown } | null)?.inputs;
  const list: unknown = isText(inputs) ? JSON.parse(inputs) : inputs;
  if (!Array.isArray(list)) return null;
  const names = list.map((each: { name?: unknown }) => each.name);
  return names.length > 0 && names.every(isText) ? (names as string[]) : null;
}

async function readMlflow(
  folder: string,
  wanted: MlflowFlavor | undefined,
  given: Signature | null,
): Promise<ForeignModelFiles> {
  const text = await readFile(path.join(folder, 'MLmodel'), 'utf8').catch((cause: unknown) => {
    throw new MillraceError('FILE_NOT_FOUND', `"${folder}" is no MLflow model: it has no file MLmodel`, {
      cause,
    });
  });
  const told = parse(text) as {
    readonly flavors?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    readonly signature?: unknown;
    readonly mlflow_version?: string;
    readonly run_id?: string;
  };
  const flavors = told.flavors ?? {};
  const flavor = wanted ?? (flavors['onnx'] ? 'onnx' : 'pyfunc');
  const named = flavor === 'onnx' ? 'onnx' : 'python_function';
  if (!flavors[named])
    throw refused(
      `the MLflow model has no flavour ${named}`,
      `It has ${Object.keys(flavors).join(', ') || 'none'}.`,
    );
  if (!told.signature && !given?.inputs)
    throw refused(
      'the MLflow model has no signature, so nobody knows what it takes',
      'Log it with `signature=infer_signature(...)`, or give --signature.',
    );
  const classes = flavors['millrace']?.['classes'];
  return {
    format: 'mlflow',
    flavor,
    from: flavor === 'onnx' ? path.join(folder, String(flavors['onnx']!['data'] ?? ONNX_FILE)) : folder,
    inputs: columnsOf(told.signature),
    classes: Array.isArray(classes) ? classes.map(String) : null,
    ...(isText(told.mlflow_version) ? { mlflow_version: told.mlflow_version } : {}),
    ...(isText(told.run_id) ? { run_id: told.run_id } : {}),
  };
}

/** What a signature of one's own says stands before what the model says. @throws MillraceError USAGE, FILE_NOT_FOUND */
export async function readForeignModel(
  source: string,
  options: { readonly flavor?: MlflowFlavor | undefined; readonly signature?: string | undefined },
): Promise<ForeignModelFiles> {
  const found = await stat(source).catch(() => null);
  if (!found) throw new MillraceError('FILE_NOT_FOUND', `there is nothing at "${source}"`);
  const given = options.signature === undefined ? null : await readSignature(options.signature);
  const read: ForeignModelFiles = found.isDirectory()
    ? await readMlflow(source, options.flavor, given).catch((cause: unknown) => {
        if (cause instanceof MillraceError) throw cause;
        throw refused(`"${source}" holds an MLmodel that cannot be read: ${messageOf(cause)}`);
      })
    : { format: 'onnx', flavor: 'onnx', from: source, inputs: null, classes: null };
  return { ...read, inputs: given?.inputs ?? read.inputs, classes: given?.classes ?? read.classes };
}
