// Writes schema/millrace.schema.json from the shapes of definitions (needs dist/: `npm run build`).
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { jsonSchema } from '../dist/core/define/json-schema.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
mkdirSync(path.join(root, 'schema'), { recursive: true });
writeFileSync(path.join(root, 'schema/millrace.schema.json'), `${JSON.stringify(jsonSchema(), null, 2)}\n`);
