import { inProject } from '../in-project.js';
import { runAssets } from '../run-assets.js';

export const command = inProject(runAssets);
