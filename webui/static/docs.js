// The page of the endpoint: Swagger UI over our own description of it.
const place = document.querySelector("#docs");
const named = () => place.querySelector("#servers")?.setAttribute("aria-label", "Server"); // it comes without a name
SwaggerUIBundle({ url: place.dataset.document, domNode: place, deepLinking: true, validatorUrl: null, onComplete: named });
