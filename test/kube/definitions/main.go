// Kubernetes tests: asks the API server's own code whether it takes the definitions of deploy/crds, and objects of their kinds.
//
// Reads one JSON document from standard input, {"definitions": [CustomResourceDefinition…], "objects": [object…]}, and writes
// {"definitions": {NAME: [fault…]}, "objects": [[fault…]…]}: empty lists where there is none.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	apiservervalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

type question struct {
	Definitions []*v1.CustomResourceDefinition `json:"definitions"`
	Objects     []map[string]any               `json:"objects"`
}

type answer struct {
	Definitions map[string][]string `json:"definitions"`
	Objects     [][]string          `json:"objects"`
}

// What the API server makes of a definition before it serves the kind.
type served struct {
	structural *schema.Structural
	values     apiservervalidation.SchemaValidator
	rules      *cel.Validator
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, "no question:", err)
		os.Exit(2)
	}
	told := answer{Definitions: map[string][]string{}, Objects: [][]string{}}
	kinds := map[string]served{}
	for _, definition := range asked.Definitions {
		told.Definitions[definition.Name] = take(definition, kinds)
	}
	for _, object := range asked.Objects {
		told.Objects = append(told.Objects, check(object, kinds))
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func take(definition *v1.CustomResourceDefinition, kinds map[string]served) []string {
	v1.SetDefaults_CustomResourceDefinition(definition)
	v1.SetDefaults_CustomResourceDefinitionSpec(&definition.Spec)
	internal := &apiextensions.CustomResourceDefinition{}
	if err := v1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(definition, internal, nil); err != nil {
		return []string{err.Error()}
	}
	// The server notes the version that objects are kept in when it takes a definition.
	for _, version := range internal.Spec.Versions {
		if version.Storage {
			internal.Status.StoredVersions = []string{version.Name}
		}
	}
	faults := texts(validation.ValidateCustomResourceDefinition(context.Background(), internal))
	if len(faults) > 0 {
		return faults
	}
	for _, version := range internal.Spec.Versions {
		whole := version.Schema
		if whole == nil {
			whole = internal.Spec.Validation
		}
		structural, err := schema.NewStructural(whole.OpenAPIV3Schema)
		if err != nil {
			return []string{err.Error()}
		}
		values, _, err := apiservervalidation.NewSchemaValidator(whole.OpenAPIV3Schema)
		if err != nil {
			return []string{err.Error()}
		}
		key := internal.Spec.Group + "/" + version.Name + "/" + internal.Spec.Names.Kind
		kinds[key] = served{structural, values, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
	}
	return []string{}
}

func check(object map[string]any, kinds map[string]served) []string {
	key := fmt.Sprint(object["apiVersion"], "/", object["kind"])
	kind, known := kinds[key]
	if !known {
		return []string{"no definition for " + key}
	}
	faults := texts(apiservervalidation.ValidateCustomResource(nil, object, kind.values))
	for _, path := range pruning.PruneWithOptions(object, kind.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		faults = append(faults, "unknown field "+path)
	}
	found, _ := kind.rules.Validate(context.Background(), nil, kind.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return append(faults, texts(found)...)
}

func texts(list field.ErrorList) []string {
	found := []string{}
	for _, fault := range list {
		found = append(found, fault.Error())
	}
	return found
}
