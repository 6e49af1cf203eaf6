import { exporting } from '../../exporting.js';

export const command = exporting('dagster');
