// Reads objects as JSON from stdin and prints, for each, what the strict decoder of the API server says: a JSON string a
// line, empty where it takes the object, beginning with "?" where it knows no such kind. bench/schemas.py runs it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	strict := serializer.NewSerializerWithOptions(
		serializer.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, serializer.SerializerOptions{Strict: true})
	objects := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20))
	for {
		var object json.RawMessage
		if err := objects.Decode(&object); err != nil {
			return
		}
		said := ""
		if _, _, err := strict.Decode(object, nil, nil); err != nil {
			said = err.Error()
			if runtime.IsNotRegisteredError(err) {
				said = "?" + said
			}
		}
		line, _ := json.Marshal(said)
		fmt.Println(string(line))
	}
}
