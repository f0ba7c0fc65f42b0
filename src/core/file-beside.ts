// Files that a manifest names: key files and recipes lie in the folder of the manifests and nowhere else (S5). Words only:
// links are seen by whoever reads the folder, and refused there.

import { pathWithin } from './path-within.ts'
import { err, ok, type Result } from './result.ts'

/** A recipe of one's own, which is never read as a manifest. */
export const isRecipeFile = (path: string): boolean => /\.recipe\.ya?ml$/.test(path)
export const isManifestFile = (path: string): boolean => /\.ya?ml$/.test(path) && !isRecipeFile(path)

/** The path within the set of what `manifest` names, or what is wrong with it: absolute, or out of the folder. */
export function fileBeside(
  manifest: string,
  written: string,
  say: { readonly like: string; readonly what: string },
): Result<string, string> {
  if (/^[/~]|^[A-Za-z]:|\\/.test(written)) return err(`must be a path beside the manifest, like ${say.like}`)
  const path = pathWithin(manifest.split('/').slice(0, -1).join('/'), written)
  return path === null ? err(`leads out of the scopes folder: keep ${say.what} inside it`) : ok(path)
}
