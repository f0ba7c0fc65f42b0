// What this is, for `--version`, the API page and the record of a start. A test holds it equal to package.json.

export const VERSION = '0.1.0'
