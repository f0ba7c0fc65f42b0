// What a name looks like at a glance: two names with one skeleton are taken for each other by a person.
// Must never be used to identify anything: names identify, skeletons only bar (S4).

/** The look of a name: hyphens dropped, `0`→`o`, `1` and `i`→`l`, `rn`→`m`, `vv`→`w`. Of any string, itself a fixed point. */
export const confusableSkeleton = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll('-', '')
    .replaceAll('0', 'o')
    .replaceAll(/[1i]/g, 'l')
    .replaceAll('rn', 'm')
    .replaceAll('vv', 'w')
