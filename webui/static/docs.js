// The page of the endpoint: Swagger UI over our own description of it.
const place = document.querySelector("#operations");
SwaggerUIBundle({ url: place.dataset.document, domNode: place, deepLinking: true, validatorUrl: null });
