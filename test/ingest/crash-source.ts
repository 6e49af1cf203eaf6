import { source } from './support.js';

export const crashSource = source('events', { id: 'string', at: 'timestamp', n: 'int64', note: 'string' });
