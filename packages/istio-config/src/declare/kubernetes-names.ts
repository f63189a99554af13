// Declarations: names and quantities as Kubernetes takes them.
import type { StringFormat } from './scalars.js';

const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const PORT_NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** The name of most objects: lower case, digits, `-` and `.`, at most 253. */
export const objectName: StringFormat = (value) =>
  SUBDOMAIN.test(value) && value.length <= 253
    ? undefined
    : { code: 'name', text: `\`${value}\` is not an object's name; write lower-case letters, digits, \`-\` and \`.\`` };

/** The name of a namespace, a Service or a container: lower case, digits and `-`, at most 63. */
export const labelName: StringFormat = (value) =>
  LABEL.test(value)
    ? undefined
    : {
        code: 'name',
        text: `\`${value}\` is not a name that can be used here; write lower-case letters, digits and \`-\``,
      };

/** The name of a container's port: at most 15, with a letter in it. */
export const portName: StringFormat = (value) =>
  PORT_NAME.test(value) && /[a-z]/.test(value) && value.length <= 15
    ? undefined
    : {
        code: 'name',
        text: `\`${value}\` is not a port's name; write at most 15 lower-case letters, digits and \`-\``,
      };
