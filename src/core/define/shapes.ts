/** Every definition a user can write, key by key. The reader, the JSON Schema and the reference page come from here. */

import { list, object, optional } from './shape.js';
import { featureSetShape, featureShape } from './shapes/feature.js';
import { monitorShape, scheduleShape, sensorShape, serviceShape, settingsKeys } from './shapes/operation.js';
import { entityShape, sourceShape, transformShape } from './shapes/source.js';
import { datasetShape, labelShape, modelShape } from './shapes/training.js';

export const listKeys = {
  entities: optional(list(entityShape), 'Things that features are about: users, products, flights.'),
  sources: optional(list(sourceShape), 'Append-only logs of records.'),
  transforms: optional(list(transformShape), 'Sources computed by SQL from other sources.'),
  features: optional(list(featureShape), 'Values about entities at an instant.'),
  feature_sets: optional(list(featureSetShape), 'Named lists of features.'),
  labels: optional(list(labelShape), 'Outcomes to predict.'),
  datasets: optional(list(datasetShape), 'Training sets.'),
  models: optional(list(modelShape), 'What is trained, and when it may serve.'),
  services: optional(list(serviceShape), 'Models that answer.'),
  monitors: optional(list(monitorShape), 'What is watched, and who is told.'),
  schedules: optional(list(scheduleShape), 'When assets are run, by the clock.'),
  sensors: optional(list(sensorShape), 'When assets are run, by what has come about.'),
};

export const definitionFileShape = object('the file', listKeys);
export const projectFileShape = object('the file', { ...settingsKeys, ...listKeys });
export type ListKey = keyof typeof listKeys;
