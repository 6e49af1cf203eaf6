// Writes docs/reference/definitions.md from the shapes of definitions (needs dist/: `npm run build`).
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { definitionsReference } from '../../dist/core/define/reference.js';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
mkdirSync(path.join(root, 'docs/reference'), { recursive: true });
writeFileSync(path.join(root, 'docs/reference/definitions.md'), definitionsReference());
