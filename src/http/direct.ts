/**
 * The route asked most, past the framework: its own reading of the body and writing of the answer take half the
 * time. Checks, answers and problems are those of the route; what is unusual in a request is left to the framework.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { MillraceError } from '../core/base/error.js';
import { answerFeatures } from '../services/serve.js';
import { encodeFeatures } from './answers.js';
import { entityBody } from './bodies.js';
import type { Context } from './context.js';
import { JSON_TYPE, readJson } from './json.js';
import { PROBLEM_TYPE, problemOf, RETRY_AFTER, type Refusal } from './problem.js';

const PREFIX = '/v1/features/';
const PLAIN_NAMES = /^[\w,.-]+$/;

export interface Direct {
  /** Counts and times the request until its response ends. */
  follow(response: ServerResponse): void;
  refuse(caught: unknown): Refusal;
}

const end = (
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  text: string,
): void => {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) }).end(text);
};

/** Answers the request and says so, or leaves it alone: false. */
export function directFeatures(
  { readers, project, inFlight, limits }: Context,
  { follow, refuse }: Direct,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const JSON_HEADERS = { 'content-type': JSON_TYPE };
  const refused = (response: ServerResponse, caught: unknown): void => {
    const refusal = refuse(caught);
    const headers = {
      'content-type': PROBLEM_TYPE,
      ...(refusal.error.retryable ? { 'retry-after': RETRY_AFTER } : {}),
    };
    end(response, refusal.status, headers, JSON.stringify(problemOf(refusal)));
  };
  return (request, response) => {
    const { url, headers } = request;
    if (request.method !== 'POST' || url === undefined || !url.startsWith(PREFIX)) return false;
    const reader = readers.get(url.slice(PREFIX.length));
    if (reader === undefined || !PLAIN_NAMES.test(url.slice(PREFIX.length))) return false;
    if (headers['content-type'] !== 'application/json' || headers['expect'] !== undefined) return false;
    const length = Number(headers['content-length'] ?? Number.NaN);
    if (!(length > 0 && length <= limits.body)) return false;
    follow(response);
    if (inFlight.requests > limits.requests) {
      request.resume();
      refused(response, new MillraceError('OVERLOADED', `${inFlight.requests} requests are under way`));
      return true;
    }
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      try {
        const body = entityBody(readJson(parts.length === 1 ? parts[0]! : Buffer.concat(parts)));
        end(response, 200, JSON_HEADERS, encodeFeatures(answerFeatures(reader, body, project.now())));
      } catch (caught) {
        refused(response, caught);
      }
    });
    request.on('error', () => undefined);
    return true;
  };
}
