// Declarations, for rooms that declare messages of their own (values of an installation): `@lateen/istio-config/declare`.

export { freeForm, list, map, message, nested } from './message.js';
export { choice, type FormatFault, flag, integer, portNumber, type StringFormat, text } from './scalars.js';
export { isTextField, type ReadSettings, readSettings } from './settings.js';
