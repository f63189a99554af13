// The version of this build; the bundler puts the package's version in.

export const VERSION = process.env.LATEEN_VERSION ?? '0.1.0-dev';
