// The manifests folder as the command line reads it: offline, all of it or every fault there is.

import { readManifestFolder } from '../adapters/manifests/read-folder.ts'
import { shippedRecipes } from '../adapters/targets/shipped-recipes.ts'
import type { Config } from '../config.ts'
import type { Fault, ManifestFiles, ManifestSet } from '../core/manifest.ts'
import { faultLine, parseManifests } from '../core/manifest-parse.ts'
import { Stop } from './stop.ts'

export type Scopes = { readonly files: ManifestFiles; readonly set: ManifestSet }

type Where = Pick<Config, 'scopesPath' | 'issuer' | 'secretsPath'>

/** Nothing is known of names once in force, so a reference to one that is gone is a fault here. */
export const parseOffline = (files: ManifestFiles, where: Where) =>
  parseManifests(files, {
    issuerOrigin: where.issuer,
    secretsFolder: where.secretsPath,
    known: null,
    recipes: shippedRecipes(),
  })

/** The files, or a stop that says why they cannot be read. */
export async function readFiles(path: string): Promise<ManifestFiles> {
  const read = await readManifestFolder(path)
  if (!read.ok) throw new Stop(1, read.message)
  return read.files
}

export async function readScopes(where: Where): Promise<Scopes> {
  const files = await readFiles(where.scopesPath)
  const parsed = parseOffline(files, where)
  if (!parsed.ok) throw faulty(parsed.faults)
  return { files, set: parsed.set }
}

export const faulty = (faults: readonly Fault[]): Stop =>
  new Stop(1, `the manifests have faults, so nothing was done:\n${faults.map(faultLine).join('\n')}`)
