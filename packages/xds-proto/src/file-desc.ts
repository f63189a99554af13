// Makes the descriptor of a generated file; what generated code calls in place of the library's own function.

import type { DescEnum, DescExtension, DescFile, DescMessage, DescService } from '@bufbuild/protobuf';
import { fileDesc as libraryFileDesc } from '@bufbuild/protobuf/codegenv2';
import { nestedTypes } from '@bufbuild/protobuf/reflect';

type DescType = DescMessage | DescEnum | DescExtension | DescService;

/** What a file may use of one that it imports. */
const views = new WeakMap<DescFile, DescFile>();

/**
 * The library makes a registry for each file, of everything that it imports directly or not, walking the imports of
 * imports again and again: 124 files of Envoy's cost 130 ms of a start. A file can only use types of files that it
 * imports itself and of what those import publicly; so this shows it no more than that.
 */
export function fileDesc(base64: string, imports: readonly DescFile[] = []): DescFile {
  const file = libraryFileDesc(base64, imports.map(viewOf));
  (file as { dependencies: readonly DescFile[] }).dependencies = imports;
  return file;
}

/** The file with its types as one flat list, and without imports that are not public. */
function viewOf(file: DescFile): DescFile {
  const known = views.get(file);
  if (known !== undefined) return known;
  const types: DescType[] = [...nestedTypes(file)];
  const view = {
    ...file,
    messages: [],
    services: [],
    extensions: [],
    // The library only goes through the four lists and adds what it finds by its own kind.
    enums: types as unknown as DescEnum[],
    dependencies: file.proto.publicDependency.map((index) => viewOf(file.dependencies[index] as DescFile)),
  };
  views.set(file, view);
  return view;
}
